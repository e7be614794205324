/* The ABI between the compiler and an emitted program: constant tables that codegen emits and
 * the runtime reads, and the services emitted code calls. Plain C structs, fixed-width fields,
 * natural alignment; append only, and raise EBRU_ABI_VERSION when a meaning changes. Kernels have a
 * ABI of their own: kernel_abi.h and kernels.def. */
#ifndef EBRU_RUNTIME_ABI_ABI_H
#define EBRU_RUNTIME_ABI_ABI_H

#include <stdint.h>

#define EBRU_ABI_VERSION 4

/* Element types at run time; bf16: what is packed, between stages. */
enum { EBRU_F32 = 0, EBRU_I32 = 1, EBRU_BF16 = 2, EBRU_U8 = 3, EBRU_I8 = 4 };
enum { EBRU_PLAIN = 0, EBRU_C16 = 1 };                       /* layouts, as in the IR */
enum { EBRU_EMBED = 0, EBRU_APPEND = 1, EBRU_EXTERNAL = 2 }; /* --weights= */
enum {
    EBRU_PROGRAM = 0,
    EBRU_PROMPT = 1,
    EBRU_SCHEDULE = 2,
    EBRU_STEP = 3
}; /* how often an input changes */

/* An input or output of a function. Names as in the IR; values between stages have names like
 * "%attn2.to_k". */
struct ebru_tensor_desc {
    const char *name;
    int32_t dtype, layout, rank, freq;
    int64_t dim[8];
    uint64_t bytes; /* in its layout, padding included */
};

/* One working node, for profiles and reports; barriers carry its index. */
struct ebru_op_desc {
    const char *name;   /* op name: "conv2d" */
    const char *kernel; /* kernels.def row or "ew" */
    const char *block;  /* block of the model: "down_blocks.0.resnets.1" */
    const char *detail; /* result type, e.g. "f32[2,320,64,64]:c16" */
    double flops;
    uint64_t bytes, weight_bytes;
    int32_t node; /* its number in the placed module's text (%41), of the program's lowest level */
    int32_t reserved;
};

/* What a thread gets when it runs an emitted function. All threads of the pool call `run` with the
 * same struct. */
struct ebru_call {
    const void *const *inputs; /* in table order; 64-byte aligned buffers in the described layout */
    void *const *outputs;
    char *arena;   /* shared, at least arena_bytes, 64-byte aligned */
    char *scratch; /* per thread: thread t uses scratch + t * scratch_stride */
    uint64_t scratch_stride;
    const char *weights; /* base of the packed weights */
    void *runtime;       /* the runtime's own: barrier, profile */
    int32_t cut;         /* ebru_cut_column of the threads that the work is cut for */
    int32_t reserved;
};

/* Numbers of threads that ops have a cut for; other numbers take that of
 * the next larger one, more threads than the last take the last. A cut says which part of an op's
 * result is a task; it changes no bit. */
#define EBRU_CUT_THREADS(T)                                                                        \
    T(1) T(2) T(3) T(4) T(6) T(8) T(12) T(16) T(24) T(32) T(48) T(64) T(96) T(128)
enum { EBRU_CUTS = 14 };
static inline int32_t ebru_cut_column(int32_t threads) {
#define EBRU_CUT_PAST(n) +((n) < threads)
    const int32_t past = 0 EBRU_CUT_THREADS(EBRU_CUT_PAST);
#undef EBRU_CUT_PAST
    return past < EBRU_CUTS ? past : EBRU_CUTS - 1;
}

typedef void (*ebru_run_fn)(const struct ebru_call *call, int32_t thread, int32_t threads);

struct ebru_function_desc {
    const char *name; /* "unet.step", "vae.decode", ... */
    int32_t input_count, output_count, op_count;
    int32_t batch; /* images (guidance halves included) */
    const struct ebru_tensor_desc *inputs, *outputs;
    const struct ebru_op_desc *ops;
    uint64_t arena_bytes, scratch_bytes;
};

/* Code of one CPU level: run[i] computes functions[i] of the model. */
struct ebru_level_desc {
    const char *name; /* "x86-64-v4" */
    const ebru_run_fn *run;
};

/* A property of the model (pipeline, sampler constants ...): kind as ebru_meta_kind.
 * Sorted by key. Keys are the rows of meta_keys.def. */
struct ebru_meta_desc {
    const char *key;
    int32_t kind, reserved;
    int64_t i;
    double f;
    const char *s;
};

/* The one symbol a program exports to the runtime: `const struct ebru_model ebru_model`. */
struct ebru_model {
    uint32_t abi_version;
    uint32_t weights_place; /* EBRU_EMBED, EBRU_APPEND, EBRU_EXTERNAL */
    int32_t function_count, level_count, meta_count, reserved;
    const struct ebru_function_desc *functions;
    const struct ebru_level_desc *levels; /* lowest first */
    const struct ebru_meta_desc *meta;
    uint64_t weights_bytes;
    uint8_t weights_id[16]; /* digest of the packed weights; also in their trailer */
    /* where the program's segment of weights begins; NULL when they are external */
    const char *weights_embedded;
    const char *weights_external; /* file name beside the program, NULL unless --weights=external */
    const uint8_t *tokenizer;     /* rt_tokenizer blob or NULL */
    uint64_t tokenizer_bytes;
    const uint8_t *tokenizer_2; /* second text encoder's, or NULL */
    uint64_t tokenizer_2_bytes;
    /* text for --build-info: lines "KEY: VALUE", "build: " with the program's id among them */
    const char *build_info;
};
extern const struct ebru_model ebru_model;

/* Services for emitted code. */

/* All threads have finished op `op` (index into the function's ops) and see each other's writes
 * afterwards. */
void ebru_barrier(const struct ebru_call *call, int32_t thread, int32_t threads, int32_t op);

/* The next tasks of op `op` for this thread, which asks until there are none: the first in the low
 * half, the one past the last in the high half; equal: none are left. The op has `tasks` for
 * call->cut; `step` neighbours share what they read (the first of them is a multiple of it), which
 * costs time when it is read for each of them anew. */
uint64_t ebru_take(const struct ebru_call *call, int32_t thread, int32_t op, int32_t tasks,
                   int32_t step);

/* This thread has finished its part of op `op` and goes on with the next op at once: between ops
 * that need no barrier, so that a profile tells them apart. */
void ebru_mark(const struct ebru_call *call, int32_t thread, int32_t op);

/* In programs compiled with --check-finite: op `op` has left `bytes` bytes at `data`; called on
 * thread 0 while all others wait. Returns when all numbers are finite, otherwise ends the program.
 */
void ebru_check_finite(const struct ebru_call *call, int32_t op, const void *data, uint64_t bytes);

/* Directly behind the packed weights, wherever they are: inside the program's segment, and (when
 * nothing rewrote the file since) at the end of the program or of the external weights' file. The
 * weights begin on a page boundary, large ones on one of EBRU_HUGE_PAGE, in memory and in the file.
 */
#define EBRU_HUGE_PAGE (2u << 20) /* bytes */
struct ebru_trailer {
    uint64_t bytes, reserved; /* of the weights in front */
    uint8_t weights_id[16];
    char magic[16]; /* EBRU_TRAILER_MAGIC */
};
#define EBRU_TRAILER_MAGIC "ebru weights 02\n"

#endif
