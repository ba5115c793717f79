// Sums over the atoms of molecules: one block of threads for some columns of one molecule.
// The host compiles this file for K, the components of each sum (segment_map.py):
//   out[K A + c, j] = sum over atoms i of molecule A of arms[i, c] phi[i, j]

extern "C" __global__ void segment_sums(
    const double* __restrict__ arms,    // (n, K)
    const int* __restrict__ pointer,    // (N + 1,), first atom of each molecule
    const double* __restrict__ phi,     // (n, columns), rows phi_stride apart
    const long long phi_stride,
    const int n_columns,
    double* __restrict__ out,           // (K N, columns), rows out_stride apart
    const long long out_stride
) {
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= n_columns) return;
    const int molecule = blockIdx.x, first = pointer[molecule], last = pointer[molecule + 1];
    double sums[K];
    for (int c = 0; c < K; ++c) sums[c] = 0.0;
    for (int i = first; i < last; ++i) {
        const double value = phi[i * phi_stride + column];
        for (int c = 0; c < K; ++c) sums[c] += arms[(long long)i * K + c] * value;
    }
    for (int c = 0; c < K; ++c) out[((long long)K * molecule + c) * out_stride + column] = sums[c];
}
