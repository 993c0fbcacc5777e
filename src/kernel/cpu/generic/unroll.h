/* unroll - UNROLL for (...): the loop is written out, so that arrays of v16 stay in registers;
 * ROLLED: it is not. */
#ifndef HONE_KERNEL_GENERIC_UNROLL_H
#define HONE_KERNEL_GENERIC_UNROLL_H

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#define ROLLED _Pragma("GCC unroll 1")
#endif

#endif
