/* The quantization file: how precise the products of each filter have to be, as `ebru quantize`
 * measured it, or a hand wrote it (docs/program.md, "The quantization file"). Reading and writing. */
#ifndef EBRU_DRIVER_QUANTIZE_QUANTIZATION_FILE_H
#define EBRU_DRIVER_QUANTIZE_QUANTIZATION_FILE_H

#include "base/diag.h"
#include "ir/ir.h"
#include "passes/passes.h"

/* Ratios in dB are within this distance of 0. What is not known is NAN. */
#define DRV_QUANTIZATION_MOST_DB 400.0
enum { DRV_QUANTIZATION_DIGEST = 17 }; /* 16 hexadecimal digits and a NUL */

/* One filter, in all ops that read it. */
typedef struct drv_quantized_filter {
    const char *component; /* "unet"; "" where the module's weights have none */
    const char *weight;    /* as the component names it: "conv_in.weight" */
    const char *name;      /* as the module names it: "unet/conv_in.weight"; set by adding */
    ir_precision precision;
    /* Power of the exact values to that of the error, with products in a precision that the file
     * knows (drv_quantization_has_ratio): of the results of the filter's ops; of the network's
     * result where only these ops are so. */
    double signal_to_noise_dB[IR_PRECISION_COUNT], result_dB[IR_PRECISION_COUNT];
    const char *why; /* or NULL */
    base_loc loc;    /* of its object in the file that was read */
} drv_quantized_filter;

typedef struct drv_quantization {
    base_arena *arena;
    const char *model;   /* its name, for the reader */
    const char *weights; /* digest, as in the property model.digest */
    double budget_dB, result_dB;
    BASE_VEC(drv_quantized_filter) filters;
    const drv_quantized_filter **by_name; /* sorted, by reading; else NULL */
    pass_weight_class *classes;           /* what passes are given, sorted, by reading; else NULL */
    base_loc loc;                         /* of the digest in the file that was read */
    char digest[DRV_QUANTIZATION_DIGEST]; /* of the file that was read */
    bool checked;                         /* against a module: what was told is not told again */
} drv_quantization;

/* Whether a filter may be given this precision: f32, bf16, int8. */
bool drv_quantization_has(ir_precision p);
/* Whether the file has ratios of it: all of these but f32, which is what they are relative to. */
bool drv_quantization_has_ratio(ir_precision p);

/* An empty one, to be filled and printed: all ratios NAN, `model` and `weights` to be set. */
drv_quantization *drv_quantization_new(void);
void drv_quantization_free(drv_quantization *q); /* NULL is allowed */
/* A further filter by the module's name of it, in f32, of which nothing is known; valid until the
 * next one. */
drv_quantized_filter *drv_quantization_add(drv_quantization *q, const char *name);

/* Reads text in its strict form. NULL after reporting all that is wrong, at line and column. It lives
 * no longer than `d`, which has its text. */
drv_quantization *drv_quantization_parse(base_diag *d, const char *name, const char *text,
                                         size_t length);
drv_quantization *drv_quantization_read(base_diag *d, const char *path);
/* Appends the text form. Ratios are rounded to hundredths and kept in range. */
void drv_quantization_print(const drv_quantization *q, base_str *out);

/* Of one that was read: what it says of a weight of the module; NULL: nothing. */
const drv_quantized_filter *drv_quantization_find(const drv_quantization *q, const char *name);
/* Holds one that was read to a module whose weights are bound and in which no pass has run. Filters
 * that the module has not are errors, and weights with another digest a warning; where the module is
 * a part of its model (`part`), only that none of the filters is there. A file that has passed is
 * not looked at again. False with diagnostics. */
bool drv_quantization_check(base_diag *d, drv_quantization *q, const ir_module *m, bool part);

#endif
