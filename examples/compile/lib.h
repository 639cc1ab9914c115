#ifndef LIB_H
#define LIB_H

/* Greatest common divisor of two numbers that are not both 0. */
unsigned gcd(unsigned a, unsigned b);

#endif
