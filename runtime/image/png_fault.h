/* How the reader and the writer of PNG files take libpng's complaints: errors come back to a setjmp
 * with their message, warnings are not passed on. */
#ifndef EBRU_RUNTIME_IMAGE_PNG_FAULT_H
#define EBRU_RUNTIME_IMAGE_PNG_FAULT_H

#include <png.h>
#include <setjmp.h>
#include <stdio.h>

/* The error pointer of a png_struct; setjmp(jump) before libpng is called. */
struct png_fault {
    jmp_buf jump;
    char message[128];
};

static inline void png_fault_error(png_structp png, png_const_charp message) {
    struct png_fault *f = png_get_error_ptr(png);
    snprintf(f->message, sizeof f->message, "%s", message);
    longjmp(f->jump, 1);
}

static inline void png_fault_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

#endif
