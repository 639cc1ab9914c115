#include <stdio.h>

#include "lib.h"

int main(void)
{
    unsigned teeth = 52, ring = 39;

    printf("gears of %u and %u teeth meet again after %u turns\n", teeth, ring,
           ring / gcd(teeth, ring));
    return 0;
}
