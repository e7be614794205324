/* cg_emit: plans every level, compiles the parts in forked children while the weights are packed
 * here, then makes the tables and links. All files are made in a hidden directory and renamed into
 * place at the end. */
#include "codegen/link/elf.h"
#include "codegen/link/jobs.h"
#include "codegen/link/link.h"
#include "codegen/link/pack_weights.h"
#include "codegen/link/publish_pair.h"
#include "codegen/link/temp_dir.h"
#include "codegen/link/weights_file.h"
#include "codegen/link/weights_segment.h"
#include "codegen/llvm/cg.h"
#include "runtime/abi/abi.h"
#include "runtime/abi/meta_keys.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LEVELS = EBRU_ISA_COUNT };

/* Objects that codegen/CMakeLists.txt puts into the compiler (make_shared.c). */
#define SHARED(a, ID, suffix, ...)                                                                 \
    extern const char ebru_tiles_##suffix[], ebru_tiles_##suffix##_end[];                          \
    extern const char ebru_kernels_##suffix[], ebru_kernels_##suffix##_end[];
EBRU_LEVELS(SHARED, SHARED, 0)
#undef SHARED
#define SHARED(a, ID, suffix, ...)                                                                 \
    [EBRU_ISA_##ID] = {{ebru_tiles_##suffix, ebru_tiles_##suffix##_end},                           \
                       {ebru_kernels_##suffix, ebru_kernels_##suffix##_end}},
static const struct shared {
    struct {
        const char *begin, *end;
    } tiles, kernels;
} shared[EBRU_ISA_COUNT] = {EBRU_LEVELS(SHARED, SHARED, 0)};
#undef SHARED

/* One object of code: a share of a level's wrappers; part 0 has the functions, too. */
typedef struct part {
    const cg_plan *plan;
    const cg_options *options;
    uint32_t number;
    const char *path;
} part;

typedef struct emission {
    base_diag *d;
    const cg_arch *arch;
    const cg_level *levels;
    uint32_t level_count, planned;
    const cg_options *options;
    cg_plan plans[MAX_LEVELS];
    cg_files files;
    part *parts;
    cg_job *jobs;
    uint32_t job_count;
    cg_table_input tables;
    const char *tables_object; /* file */
    cg_weights_file blob;
} emission;

static bool is_text(const cg_options *o) {
    return o->kind == CG_ASM || o->kind == CG_LLVM_IR;
}

static bool is_filtered(const cg_options *o) {
    return is_text(o) && (o->filter || o->only_function);
}

/* ---- in the children ---- */

/* The model's part of the module. */
static bool emit_part(cg *c, const part *p) {
    LLVMValueRef *wrappers = base_alloc((p->plan->wrappers.count + 1) * sizeof *wrappers);
    bool fine = cg_emit_wrappers(c, p->plan, p->number, wrappers);
    if (p->number == 0) fine = fine && cg_emit_functions(c, p->plan, wrappers, p->options);
    base_free(wrappers);
    return fine;
}

static bool compile_part(void *arg, base_str *fault) {
    const part *p = arg;
    bool text = is_text(p->options);
    cg c;
    char name[64];
    cg_on_fatal_error(cg_job_abort);
    snprintf(name, sizeof name, "model-%s-%u", p->plan->target->base.level, p->number);
    bool fine = cg_open(&c, cg_arch_of(&p->plan->target->base), p->plan->target,
                        text ? CG_WHOLE : CG_WRAPPERS, p->options->opt_level, name, fault) &&
                emit_part(&c, p) && cg_optimize(&c) &&
                cg_write(&c, text ? p->options->kind : CG_OBJ, p->path);
    bool x86 = c.arch && c.arch->elf_machine == EM_X86_64;
    cg_close(&c);
    if (!fine || !text) return fine;
    return cg_annotate(p->plan, p->options->kind == CG_ASM, x86, p->path, fault) &&
           (!is_filtered(p->options) || cg_filter_text(p->plan, p->options, x86, p->path, fault));
}

static bool compile_tables(void *arg, base_str *fault) {
    const emission *e = arg;
    cg c;
    cg_on_fatal_error(cg_job_abort);
    bool fine = cg_open(&c, e->arch, NULL, CG_WHOLE, 0, "model-tables", fault) &&
                cg_emit_tables(&c, &e->tables) && cg_write(&c, CG_OBJ, e->tables_object);
    cg_close(&c);
    return fine;
}

/* ---- the parent's steps ---- */

static void progress(const emission *e, const char *phase, uint32_t done, uint32_t total) {
    if (e->options->progress) e->options->progress(e->options->user, phase, done, total);
}

/* Levels share tables, inputs, outputs and weights: their modules agree in them, or the passes have
 * decided differently for two levels, which is our bug. */
static void check_levels_agree(const emission *e) {
    const cg_plan *a = &e->plans[0];
    for (uint32_t l = 1; l < e->level_count; l++) {
        const cg_plan *b = &e->plans[l];
        bool same = a->funcs.count == b->funcs.count && cg_same_weights(a->module, b->module);
        for (size_t i = 0; i < a->funcs.count && same; i++) {
            const ir_func *f = a->funcs.items[i].f, *g = b->funcs.items[i].f;
            same = !strcmp(f->name, g->name) && f->inputs.count == g->inputs.count &&
                   f->outputs.count == g->outputs.count &&
                   a->funcs.items[i].ops.count == b->funcs.items[i].ops.count;
            for (size_t k = 0; same && k < f->inputs.count; k++)
                same = ir_type_equal(ir_typeof(f, f->inputs.items[k]),
                                     ir_typeof(g, g->inputs.items[k]));
            for (size_t k = 0; same && k < f->outputs.count; k++)
                same = ir_type_equal(ir_typeof(f, f->outputs.items[k].value),
                                     ir_typeof(g, g->outputs.items[k].value));
        }
        if (!same)
            ICE("the modules of %s and %s differ", a->target->base.level, b->target->base.level);
    }
}

static bool plan_levels(emission *e) {
    if (e->level_count < 1 || e->level_count > MAX_LEVELS) {
        base_error(e->d, NULL, "a program has 1 to %d CPU levels", MAX_LEVELS);
        return false;
    }
    if (is_text(e->options) && e->level_count > 1) {
        base_error(e->d, NULL,
                   "--emit=asm and --emit=llvm-ir show one CPU level; name one with -mcpu=");
        return false;
    }
    if (!is_text(e->options) && strcmp(e->options->output, "-") == 0) {
        base_error(
            e->d, NULL,
            "only text (--emit=asm, --emit=llvm-ir) goes to standard output; name a file with -o");
        return false;
    }
    if (e->options->kind == CG_OBJ && e->options->weights == CG_WEIGHTS_APPEND) {
        base_error(e->d, NULL,
                   "an object has no end to put weights behind; --weights=embed or external");
        return false;
    }
    const ebru_string_key kind = EBRU_META_PIPELINE_KIND;
    bool paints = !e->options->networks_only &&
                  strcmp(ir_meta_string(e->levels[0].module, kind.name, kind.otherwise),
                         ebru_pipeline_kind_name[EBRU_PIPELINE_NONE]) != 0;
    bool fine = e->options->kind != CG_EXE || cg_link_possible(e->d, e->arch, paints);
    for (uint32_t l = 0; l < e->level_count; l++) {
        e->planned++;
        fine &= cg_make_plan(e->d, (const cg_target_info *)e->levels[l].target, e->levels[l].module,
                             &e->plans[l]);
        if (is_text(e->options) || e->options->opt_level == 0) e->plans[l].parts = 1;
    }
    if (fine) check_levels_agree(e);
    return fine;
}

static void make_jobs(emission *e) {
    uint32_t count = 0;
    for (uint32_t l = 0; l < e->level_count; l++) count += e->plans[l].parts;
    e->parts = base_alloc(count * sizeof *e->parts);
    e->jobs = base_alloc(count * sizeof *e->jobs);
    for (uint32_t l = e->level_count; l-- > 0;) /* the highest level takes longest */
        for (uint32_t k = 0; k < e->plans[l].parts; k++) {
            part *p = &e->parts[e->job_count];
            char *name = base_arena_printf(e->files.arena, "code%u.o", e->job_count);
            *p = (part){&e->plans[l], e->options, k, cg_files_add(&e->files, name)};
            e->jobs[e->job_count++] =
                (cg_job){.what = e->plans[l].target->base.level, .run = compile_part, .arg = p};
        }
}

static uint32_t cpus(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 16 ? 16 : (uint32_t)n;
}

/* Runs what has not run yet to the end; a crash in a child ends the compiler with 70 once the files
 * are gone. */
static bool finish_jobs(emission *e, cg_job *jobs, uint32_t count, const char *phase) {
    uint32_t reported = UINT32_MAX;
    bool more = true, fine = true;
    while (more) {
        more = cg_jobs_advance(jobs, count, cpus(), true);
        uint32_t done = cg_jobs_finished(jobs, count);
        if (done != reported) progress(e, phase, reported = done, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (jobs[i].state == CG_JOB_DONE) continue;
        if (jobs[i].state == CG_JOB_CRASHED) {
            cg_files_close(&e->files);
            ICE("code generation for %s: %s", jobs[i].what, jobs[i].fault.data);
        }
        fine = false;
        base_error(e->d, NULL, "code generation for %s: %s", jobs[i].what, jobs[i].fault.data);
    }
    return fine;
}

/* Where the weights stand. Two things that are not worth it for small ones: an address and a place
 * in the file that are the same modulo a huge page, without which the kernel maps what it has in
 * huge pages by small ones (docs/benchmarks.md, "Threads"); and room in front of them, so that the
 * program can be put there without copying them: more than a linked program ever took (2 MiB and 9
 * KiB a kernel), as a hole in the file. */
static void place_weights(const emission *e, cg_weights_file *b) {
    uint64_t kernels = 0, bytes = 0;
    const ir_module *m = e->plans[0].module;
    for (size_t i = 0; i < m->weights.count; i++) bytes += ir_type_bytes(&m->weights.items[i].type);
    bool large = bytes >= 64u << 20;
    b->align = large ? EBRU_HUGE_PAGE : CG_ELF_DATA_OFFSET;
    b->head = e->options->weights == CG_WEIGHTS_EXTERNAL ? 0 : CG_ELF_DATA_OFFSET;
    if (!large || !b->head || e->options->kind == CG_OBJ) return;
    for (uint32_t l = 0; l < e->level_count; l++) kernels += e->plans[l].wrappers.count;
    uint64_t room = 2 * EBRU_HUGE_PAGE + (kernels << 15) + 2 * e->options->tokenizer_bytes;
    b->head = (room / b->align + 1) * b->align;
}

static bool pack_weights(emission *e) {
    e->blob = (cg_weights_file){.arch = e->arch, .path = cg_files_add(&e->files, "weights")};
    place_weights(e, &e->blob);
    bool fine = cg_weights_file_pack(e->d, e->plans[0].module, e->options, &e->blob);
    e->tables.weights_bytes = e->blob.bytes;
    memcpy(e->tables.weights_id, e->blob.id, sizeof e->blob.id);
    return fine;
}

static bool make_tables(emission *e) {
    e->tables_object = cg_files_add(&e->files, "tables.o");
    e->tables.levels = e->levels;
    e->tables.level_count = e->level_count;
    e->tables.plans = e->plans;
    e->tables.options = e->options;
    if (e->options->weights == CG_WEIGHTS_EXTERNAL) {
        const char *slash = strrchr(e->files.target, '/');
        e->tables.external =
            base_arena_printf(e->files.arena, "%s.weights", slash ? slash + 1 : e->files.target);
    }
    cg_job job = {.what = "the tables", .run = compile_tables, .arg = e};
    bool fine = finish_jobs(e, &job, 1, "tables");
    base_str_free(&job.fault);
    return fine;
}

/* Adds an object that was compiled when the compiler was built. */
static bool add_object(emission *e, const char *name, const char *begin, const char *end,
                       const char **objects, uint32_t *count) {
    const char *path = cg_files_add(&e->files, name);
    objects[(*count)++] = path;
    return cg_files_write(e->d, path, begin, (size_t)(end - begin));
}

/* Adds what the wrappers of a level call: the tiles, and at -O0 the kernels. */
static bool add_shared(emission *e, int32_t isa, const char **objects, uint32_t *count) {
    const struct shared *s = &shared[isa];
    base_arena *a = e->files.arena;
    return add_object(e, base_arena_printf(a, "tiles%d.o", isa), s->tiles.begin, s->tiles.end,
                      objects, count) &&
           (e->options->opt_level > 0 ||
            add_object(e, base_arena_printf(a, "kernels%d.o", isa), s->kernels.begin,
                       s->kernels.end, objects, count));
}

/* The shared objects of all levels: a level's own, and once those of each level that some share. */
static bool add_all_shared(emission *e, const char **objects, uint32_t *count) {
    bool needed[EBRU_ISA_COUNT] = {false}, fine = true;
    for (uint32_t l = 0; l < e->level_count; l++) {
        const int32_t isa = e->plans[l].target->isa;
        needed[isa] = needed[base_isa_plain(isa)] = true;
    }
    for (int32_t isa = 0; isa < EBRU_ISA_COUNT && fine; isa++)
        if (needed[isa]) fine = add_shared(e, isa, objects, count);
    return fine;
}

/* weights: the object that has them or stands for them, or NULL. */
static bool link_objects(emission *e, const char *weights, const char *to) {
    const char **objects = base_alloc((e->job_count + 4 * e->level_count + 2) * sizeof *objects);
    uint32_t count = 0;
    objects[count++] = e->tables_object;
    for (uint32_t i = 0; i < e->job_count; i++) objects[count++] = e->parts[i].path;
    bool fine = add_all_shared(e, objects, &count);
    if (weights) objects[count++] = weights;
    progress(e, "link", 0, 1);
    const ir_module *m = e->levels[0].module;
    bool pictures = ir_meta_int(m, EBRU_META_PIPELINE_IMAGE_INPUT.name, 0) == 1 ||
                    ir_meta_int(m, EBRU_META_PIPELINE_CONTROLS.name, 0) > 0;
    fine = fine && cg_link(e->d, &e->files, e->arch, objects, count, pictures, e->options, to);
    if (fine) progress(e, "link", 1, 1);
    base_free(objects);
    return fine;
}

static const char *external_path(emission *e) {
    return base_arena_printf(e->files.arena, "%s.weights", e->files.target);
}

/* The filter left nothing. */
static bool is_unmatched(const emission *e) {
    struct stat st;
    return is_filtered(e->options) && e->job_count && e->jobs[0].state == CG_JOB_DONE &&
           stat(e->parts[0].path, &st) == 0 && st.st_size == 0;
}

/* Text goes to standard output or to its place; there is one part. */
static bool publish_text(const emission *e) {
    if (is_unmatched(e)) {
        const char *filter = e->options->filter ? e->options->filter : "";
        base_error(e->d, NULL,
                   "--filter=%s means nothing here: no symbol, and no op's block, name, "
                   "attributes, type or kernel",
                   base_escape(filter, strlen(filter)));
        return false;
    }
    if (strcmp(e->options->output, "-") != 0)
        return cg_files_publish(e->d, e->parts[0].path, e->files.target);
    fflush(stdout);
    return cg_files_append(e->d, STDOUT_FILENO, e->parts[0].path);
}

/* Whether the weights can follow the linked program; false with a diagnostic when it cannot be
 * read. */
static bool find_segment(emission *e, const char *program, bool *found) {
    cg_weights_segment s;
    int fd = open(program, O_RDONLY | O_CLOEXEC);
    *found = fd >= 0 && cg_weights_segment_find(fd, e->blob.align, &s);
    int error = *found ? 0 : errno;
    if (fd >= 0) close(fd);
    if (error) base_error_file(e->d, program, "read", error);
    return error == 0;
}

/* The object that stands for the weights when the program is linked; NULL with a diagnostic. */
static const char *stub_object(emission *e) {
    const char *path = cg_files_add(&e->files, "stub.o");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool fine = fd >= 0 && cg_weights_segment_stub(fd, e->arch, "ebru_weights", e->blob.align);
    if (fd >= 0 && close(fd) != 0) fine = false;
    if (!fine) base_error(e->d, NULL, "cannot write '%s': %s", path, strerror(errno));
    return fine ? path : NULL;
}

/* A program or library with its weights inside. */
static bool link_with_weights(emission *e, const char **product) {
    const char *stub = stub_object(e);
    bool found = e->options->weights == CG_WEIGHTS_APPEND;
    if (!stub || !link_objects(e, stub, *product)) return false;
    if (!found && !find_segment(e, *product, &found)) return false;
    if (found) return cg_weights_file_join(e->d, &e->blob, *product, product);
    /* another linker than GNU ld: what it can place, it may place */
    return cg_weights_file_wrap(e->d, &e->blob) && link_objects(e, e->blob.path, *product);
}

static bool emit_binary(emission *e) {
    const char *product = cg_files_add(&e->files, "product");
    bool external = e->options->weights == CG_WEIGHTS_EXTERNAL, object = e->options->kind == CG_OBJ;
    if (!make_tables(e)) return false;
    if (external || !e->blob.bytes) {
        if (!link_objects(e, NULL, product)) return false;
    } else if (object) {
        if (!cg_weights_file_wrap(e->d, &e->blob) || !link_objects(e, e->blob.path, product))
            return false;
    } else if (!link_with_weights(e, &product)) {
        return false;
    }
    if (external)
        return cg_publish_pair(e->d, product, e->files.target, e->blob.path, external_path(e));
    bool fine = cg_files_publish(e->d, product, e->files.target);
    if (fine) cg_drop_old_weights(external_path(e));
    return fine;
}

static void fill_result(const emission *e, cg_result *r) {
    struct stat st;
    *r = (cg_result){.weights_bytes = e->tables.weights_bytes};
    if (strcmp(e->options->output, "-") != 0 && stat(e->options->output, &st) == 0)
        r->output_bytes = (uint64_t)st.st_size;
    for (uint32_t l = 0; l < e->level_count; l++) {
        r->kernels += e->plans[l].wrappers.count;
        for (size_t i = 0; i < e->plans[l].funcs.count; i++)
            if (e->plans[l].funcs.items[i].f->arena_bytes > r->arena_bytes_max)
                r->arena_bytes_max = e->plans[l].funcs.items[i].f->arena_bytes;
    }
}

static bool emit(emission *e) {
    if (!plan_levels(e) || !cg_files_open(e->d, &e->files, e->options->output)) return false;
    make_jobs(e);
    /* The children compile while the weights are packed here. */
    cg_jobs_advance(e->jobs, e->job_count, cpus(), false);
    if (!is_text(e->options) && !pack_weights(e)) return false;
    if (!finish_jobs(e, e->jobs, e->job_count, "code")) return false;
    return is_text(e->options) ? publish_text(e) : emit_binary(e);
}

bool cg_emit(base_diag *d, const cg_level *levels, uint32_t level_count, const cg_options *options,
             cg_result *result) {
    emission e = {.d = d,
                  .arch = level_count ? cg_arch_of(levels[0].target) : NULL,
                  .levels = levels,
                  .level_count = level_count,
                  .options = options};
    unsigned before = base_diag_errors(d);
    bool fine = emit(&e) && base_diag_errors(d) == before;
    if (fine && result) fill_result(&e, result);
    if (result) result->unmatched = is_unmatched(&e);
    cg_jobs_kill(e.jobs, e.job_count);
    for (uint32_t i = 0; i < e.job_count; i++) base_str_free(&e.jobs[i].fault);
    base_free(e.jobs);
    base_free(e.parts);
    for (uint32_t l = 0; l < e.planned; l++) cg_free_plan(&e.plans[l]);
    cg_files_close(&e.files);
    return fine;
}
