"""Units: charges in e, lengths in angstrom, dipoles in debye.

Conversions happen only where another program's unit enters: ASE stores dipoles in e*angstrom.
"""

# Exact in the SI of 2019: e * c * 1e11, with e in coulomb and c in metres per second.
DEBYE_PER_E_ANGSTROM = 4.803204712570263
# Length of the atomic units that quantum-chemistry programs use (CODATA 2018).
ANGSTROM_PER_BOHR = 0.529177210903
