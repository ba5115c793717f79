// Power spectra of atoms: one block of threads for each atom. The host compiles this file for the
// sizes of one SOAP scale (spectra_cuda.py), which are macros:
//   N_MAX, L_MAX    radial functions, and highest degree of the harmonics
//   N_SPECIES       elements
//   ROWS_OF_ELEMENT rows of the tables of each element; 0 where all elements share one table
//   TILE            neighbours that are in shared memory at a time
//   THREADS         threads of a block, a power of 2
// Meaning of the arrays, and the same computation in array form: spectra_device.py.

#define N_L (L_MAX + 1)
#define N_LM (N_L * N_L)
#define N_RADIAL (N_MAX * N_L)
#define WIDE (N_SPECIES * N_MAX)
#define DBL_GREATEST 1.7976931348623157e308
// Position of l in the first number of a column; its other bits are a place among coefficients.
#define L_SHIFT 24
#define PLACE_MASK ((1 << L_SHIFT) - 1)

// Sum over all threads of a block; every thread gets the sum.
__device__ double block_sum(double value, double* scratch) {
    const int thread = threadIdx.x;
    scratch[thread] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half) scratch[thread] += scratch[thread + half];
        __syncthreads();
    }
    const double sum = scratch[0];
    __syncthreads();
    return sum;
}

// Harmonics Y_lm and Y_l-m of one direction for all l from |m| on, times factors[l][m], as
// recursions: see harmonics.py.
__device__ void harmonics_of_order(
    int m, double x, double y, double z, const double* factors, double* out
) {
    double cosine = 1.0, sine = 0.0, legendre = 1.0, before = 0.0;
    for (int k = 1; k <= m; ++k) {
        const double c = cosine;
        cosine = x * c - y * sine;
        sine = y * c + x * sine;
        legendre *= 2 * k - 1;
    }
    for (int l = m; l < N_L; ++l) {
        if (l > m) {
            const double next = ((2 * l - 1) * z * legendre - (l + m - 1) * before) / (l - m);
            before = legendre;
            legendre = next;
        }
        const double scaled = legendre * factors[l * N_L + m];
        out[l * l + l + m] = scaled * cosine;
        if (m > 0) out[l * l + l - m] = scaled * sine;
    }
}

// Product of two rows of coefficients of the same l, as one column of the spectrum.
__device__ float product(int2 column, const float* coefficients) {
    const float* one = coefficients + (column.x & PLACE_MASK);
    const float* two = coefficients + column.y;
    const int n_m = 2 * (column.x >> L_SHIFT) + 1;
    float sum = 0.0f;
    for (int m = 0; m < n_m; ++m) sum += one[m] * two[m];
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS) power_spectra(
    const double* __restrict__ positions,  // (n, 3), angstrom
    const int* __restrict__ species,       // (n,), 0 to N_SPECIES - 1
    const int* __restrict__ first,         // (n,), first atom of the molecule of each atom
    const int* __restrict__ size,          // (n,), atoms of that molecule
    const double* __restrict__ constant,   // (points, N_RADIAL), and so are the next two
    const double* __restrict__ linear,
    const double* __restrict__ square,
    const double reach,                    // angstrom
    const double step,                     // angstrom between two points of the tables
    const double* __restrict__ factors,    // (N_L, N_L), of harmonics
    const int2* __restrict__ columns,      // (d,), see product()
    const float* __restrict__ column_factors,  // (d,)
    const int n_columns,
    const double least,                    // shortest and greatest length of a spectrum that is
    const double greatest,                 // not of unit length
    float* __restrict__ out                // (n, d)
) {
    extern __shared__ double shared[];
    double* sums = shared;                        // (WIDE, N_LM)
    double* radial = sums + WIDE * N_LM;          // (TILE, N_RADIAL)
    double* harmonic = radial + TILE * N_RADIAL;  // (TILE, N_LM)
    double* offset = harmonic + TILE * N_LM;      // (TILE,) distance from a point of the tables
    double* direction = offset + TILE;            // (TILE, 3)
    double* scratch = direction + 3 * TILE;       // (THREADS,)
    int* point = (int*)(scratch + THREADS);       // (TILE,)
    int* kind = point + TILE;                     // (TILE,) element; -1 where not a neighbour
    float* coefficients = (float*)(kind + TILE);  // (WIDE N_LM,), one l after the other

    const int thread = threadIdx.x, atom = blockIdx.x;
    const double* center = positions + 3 * (long long)atom;
    const int start = first[atom], n_atoms = size[atom];
    for (int i = thread; i < WIDE * N_LM; i += THREADS) sums[i] = 0.0;

    for (int tile = 0; tile < n_atoms; tile += TILE) {
        const int n_slots = min(TILE, n_atoms - tile);
        __syncthreads();
        for (int slot = thread; slot < n_slots; slot += THREADS) {
            const int other = start + tile + slot;
            const double* there = positions + 3 * (long long)other;
            const double x = there[0] - center[0], y = there[1] - center[1];
            const double z = there[2] - center[2], distance = sqrt(x * x + y * y + z * z);
            const bool near = distance <= reach;
            const double inverse = distance > 0 ? 1 / distance : 0.0;
            kind[slot] = near ? species[other] : -1;
            point[slot] = near ? (int)rint(distance / step) : 0;
            offset[slot] = distance - point[slot] * step;
            direction[3 * slot] = x * inverse;
            direction[3 * slot + 1] = y * inverse;
            direction[3 * slot + 2] = z * inverse;
        }
        __syncthreads();
        for (int i = thread; i < n_slots * N_RADIAL; i += THREADS) {
            const int slot = i / N_RADIAL;
            const int row_of_table = point[slot] + max(kind[slot], 0) * ROWS_OF_ELEMENT;
            const long long place = (long long)row_of_table * N_RADIAL + i % N_RADIAL;
            const double x = offset[slot];
            radial[i] = (square[place] * x + linear[place]) * x + constant[place];
        }
        for (int i = thread; i < n_slots * N_L; i += THREADS) {
            const int slot = i / N_L;
            const double* to = direction + 3 * slot;
            harmonics_of_order(i % N_L, to[0], to[1], to[2], factors, harmonic + slot * N_LM);
        }
        __syncthreads();
        // One thread has a coefficient of all elements: no two threads write to one place.
        for (int i = thread; i < N_MAX * N_LM; i += THREADS) {
            const int n = i / N_LM, lm = i % N_LM;
            int l = 0;
            while ((l + 1) * (l + 1) <= lm) ++l;
            for (int slot = 0; slot < n_slots; ++slot) {
                if (kind[slot] < 0) continue;
                const double value = radial[slot * N_RADIAL + n * N_L + l];
                sums[kind[slot] * (N_MAX * N_LM) + i] += value * harmonic[slot * N_LM + lm];
            }
        }
    }
    __syncthreads();

    // Coefficients of unit length: their products are neither too small nor too large for single
    // precision, whatever the scale of the tables.
    double power = 0.0;
    for (int i = thread; i < WIDE * N_LM; i += THREADS) power += sums[i] * sums[i];
    power = block_sum(power, scratch);
    const double to_unit = power > 0 && power <= DBL_GREATEST ? 1 / sqrt(power) : 0.0;
    for (int i = thread; i < WIDE * N_LM; i += THREADS) {
        const int row = i / N_LM, lm = i % N_LM;
        int l = 0;
        while ((l + 1) * (l + 1) <= lm) ++l;
        const int place = WIDE * l * l + row * (2 * l + 1) + lm - l * l;
        coefficients[place] = (float)(sums[i] * to_unit);
    }
    __syncthreads();

    // The products are computed twice, so that no memory is needed to keep them.
    double total = 0.0;
    for (int i = thread; i < n_columns; i += THREADS) {
        const double value = product(columns[i], coefficients) * column_factors[i];
        total += value * value;
    }
    const double length = sqrt(block_sum(total, scratch));
    const double true_length = length * power;
    const bool has = true_length > least && true_length <= greatest;
    const float factor = has ? (float)(1 / length) : nanf("");
    float* row = out + (long long)atom * n_columns;
    for (int i = thread; i < n_columns; i += THREADS) {
        row[i] = product(columns[i], coefficients) * column_factors[i] * factor;
    }
}
