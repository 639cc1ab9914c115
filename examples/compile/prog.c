#include <stdio.h>

#include "lib.h"

int main(void)
{
    unsigned divisor = gcd(1080, 1920);

    printf("1920 x 1080 is %u:%u\n", 1920 / divisor, 1080 / divisor);
    return 0;
}
