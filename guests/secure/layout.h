/* Constants that C and assembly share. */
#ifndef SECURE_LAYOUT_H
#define SECURE_LAYOUT_H

#define PES_MAX 8
#define STACK_SIZE 4096

/* Where Non-secure memory is seen: its physical address plus this. */
#define NS_WINDOW 0x1000000000

#endif
