/* Lowering: front end or IR text, passes once for each CPU level, code generation. */
#include "driver/commands/lower.h"
#include "base/number.h"
#include "base/system/output.h"
#include "driver/cli/read_text.h"
#include "driver/commands/extract_op.h"
#include "driver/commands/inspect.h"
#include "driver/version.h"

#include "frontend/defaults.h"
#include "frontend/files/files.h"
#include "runtime/abi/meta_keys.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool drv_is_ir(const char *path) {
    size_t n = strlen(path);
    return (n > 3 && !strcmp(path + n - 3, ".ir")) || !strcmp(path, "-");
}

fe_options drv_fe_options(const drv_load_options *o) {
    return (fe_options){
        .component = o->component,
        .function = o->function,
        .batch = o->batch,
        .width = o->width,
        .height = o->height,
        .random_weights = o->random_weights,
        .random_seed = o->random_seed,
        .unet = o->unet,
        .vae = o->vae,
        .text_encoder = o->text_encoder,
        .text_encoder_2 = o->text_encoder_2,
        .loras = o->loras,
        .lora_count = o->lora_count,
        .slots = o->slots,
        .slot_count = o->slot_count,
        .embeddings = o->embeddings,
        .embedding_count = o->embedding_count,
        .controlnets = o->controlnets,
        .controlnet_count = o->controlnet_count,
        .adapters = o->adapters,
        .adapter_count = o->adapter_count,
        .ip_adapters = o->ip_adapters,
        .ip_adapter_count = o->ip_adapter_count,
        .ip_images = o->ip_images,
        .image_encoder = o->image_encoder,
        .upscaler = o->upscaler,
        .safety = o->safety && strcmp(o->safety, "off") != 0 ? o->safety : NULL,
        .guidance_pair = true,
        .shared_timestep = true,
        .clip_skip = o->clip_skip,
        .prompt_chunks = o->prompt_chunks,
        .prediction = o->prediction,
        .sampler = o->sampler,
        .scheduler_config = o->scheduler_config,
        .no_image_input = o->no_image_input,
        .default_steps = o->default_steps,
        .default_guidance = o->default_guidance >= 0 ? &o->default_guidance : NULL,
        .default_strength = o->default_strength >= 0 ? &o->default_strength : NULL,
        .default_noise_level = o->default_noise_level >= 0 ? &o->default_noise_level : NULL,
    };
}

ir_module *drv_load_ir(base_diag *d, const char *path, const ir_target *target) {
    const ir_text_rules rules = {cg_hold_bindings, (void *)(uintptr_t)target};
    fe_bytes text;
    if (!drv_read_text(d, path, (size_t)1 << 30, &text)) return NULL;
    ir_module *m = fe_parse_ir(d, strcmp(path, "-") ? path : "<stdin>", text.data, text.size,
                               target ? &rules : NULL);
    fe_bytes_free(&text);
    return m;
}

ir_module *drv_load_for(base_diag *d, const char *path, const fe_options *fe,
                        const ir_target *target) {
    if (!drv_is_ir(path)) return fe_load(d, path, fe);
    ir_module *m = drv_load_ir(d, path, target);
    if (!m || fe_defaults_override(d, m, fe)) return m;
    ir_module_free(m);
    return NULL;
}

ir_module *drv_load(base_diag *d, const char *path, const fe_options *fe) {
    return drv_load_for(d, path, fe, NULL);
}

bool drv_make_dump_dir(base_diag *d, const char *path) {
    if (!path || !mkdir(path, 0777) || errno == EEXIST) return true;
    base_error(d, NULL, "cannot make the folder '%s': %s", base_escape(path, strlen(path)),
               strerror(errno));
    return false;
}

/* "07-fuse_attention.ir" */
static bool is_dump_name(const char *name) {
    const size_t n = strlen(name);
    if (n < 7 || strcmp(name + n - 3, ".ir") != 0 || name[2] != '-') return false;
    if (strspn(name, "0123456789") != 2) return false;
    return strspn(name + 3, "abcdefghijklmnopqrstuvwxyz0123456789_") == n - 6;
}

/* An earlier dump at `path`: a file that is IR text, and not the one that is compiled. */
static bool is_old_dump(const char *path, const char *model) {
    struct stat here, source;
    if (lstat(path, &here) || !S_ISREG(here.st_mode)) return false;
    if (!stat(model, &source) && source.st_dev == here.st_dev && source.st_ino == here.st_ino)
        return false;
    char begin[8] = {0};
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const size_t n = fread(begin, 1, sizeof begin, f);
    fclose(f);
    return n == sizeof begin && !memcmp(begin, "ebru ir ", sizeof begin);
}

bool drv_clear_dumps(base_diag *d, const char *dir, const char *model) {
    DIR *folder = dir ? opendir(dir) : NULL;
    if (!folder) return true; /* what cannot be read is told when the first dump is written */
    bool fine = true;
    for (const struct dirent *e; fine && (e = readdir(folder));) {
        if (!is_dump_name(e->d_name)) continue;
        base_str path = {0};
        base_str_addf(&path, "%s/%s", dir, e->d_name);
        if (is_old_dump(path.data, model) && unlink(path.data)) {
            base_error_file(d, path.data, "remove the dump of an earlier run", errno);
            fine = false;
        }
        base_str_free(&path);
    }
    closedir(folder);
    return fine;
}

bool drv_quantization_open(base_diag *d, const drv_options *o, drv_quantization **q) {
    *q = NULL;
    if (!o->code.quantization) return true;
    if (o->code.products != IR_PRECISION_INT8) {
        base_error(d, NULL, "--quantization= goes with --precision=int8, not with %s",
                   ir_precision_name[o->code.products]);
        return false;
    }
    *q = drv_quantization_read(d, o->code.quantization);
    return *q != NULL;
}

bool drv_quantization_apply(base_diag *d, const drv_options *o, drv_quantization *q, ir_module *m) {
    const drv_load_options *l = &o->load;
    if (!q) return true;
    if (ir_meta_get(m, EBRU_META_PRECISION.name)) {
        base_warning(d, NULL,
                     "--quantization= does nothing: '%s' is IR that has been lowered to "
                     "its precision",
                     base_shown(o->model));
        return true;
    }
    const bool part = l->component || l->function || l->no_image_input || drv_is_ir(o->model);
    if (!drv_quantization_check(d, q, m, part)) return false;
    ir_meta_set_string(m, EBRU_META_QUANTIZATION.name, q->digest);
    return true;
}

pass_options drv_pass_options(const drv_options *o, const drv_quantization *q) {
    pass_options p = PASS_OPTIONS_DEFAULT;
    if (q) {
        p.classes = q->classes;
        p.class_count = q->filters.count;
    }
    p.passes = o->passes.list;
    p.disabled = o->passes.disabled;
    p.disabled_count = o->passes.disabled_count;
    p.knobs = o->passes.knobs;
    p.knob_count = o->passes.knob_count;
    p.stop_after = o->passes.stop_after;
    p.start_after = o->passes.start_after;
    p.print_before = o->passes.print_before;
    p.print_after = o->passes.print_after;
    p.filter = o->passes.filter;
    p.no_loc = o->passes.no_loc;
    p.print_changed = o->passes.print_changed;
    p.dump_dir = o->passes.dump_dir;
    p.verify_each = o->passes.verify_each;
    p.time_passes = o->passes.time_passes;
    p.bisect_limit = o->passes.bisect_limit;
    p.precision = o->code.products;
    p.fault = o->passes.fault;
    p.quiet = o->common.quiet && !(o->command & (DRV_COMPILE | DRV_OPT));
    p.separate_buffers = o->passes.plan && !strcmp(o->passes.plan, "separate");
#ifdef EBRU_HOSTILE
    p.verify_each = true;
#endif
    return p;
}

/* The targets of --target= and -mcpu=, lowest level first, each once. That of `native` has this
 * machine's cache sizes, a named one its level's. */
static uint32_t targets(base_diag *d, const drv_code_options *o,
                        const ir_target *out[DRV_MAX_LEVELS]) {
    const cg_arch *arch = cg_arch_find(d, o->target);
    if (!arch) return 0;
    const char *list = o->cpu ? o->cpu : cg_arch_default(arch);
    const ir_target *wanted[DRV_MAX_LEVELS] = {NULL};
    uint32_t known = cg_arch_target_count(arch), count = 0;
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        char name[64];
        snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, p);
        const ir_target *t = cg_arch_target(d, arch, name);
        for (uint32_t i = 0; t && i < known && i < DRV_MAX_LEVELS; i++)
            if (!strcmp(cg_arch_target_name(arch, i), t->level)) wanted[i] = t;
        p += n;
        if (!*p) break;
    }
    if (base_diag_errors(d)) return 0;
    for (uint32_t i = 0; i < known && i < DRV_MAX_LEVELS; i++)
        if (wanted[i]) out[count++] = wanted[i];
    return count;
}

/* What a text leaves open: weight data are needed by constant folding and by code generation, the
 * tokenizer's files by the program. */
static bool bind(base_diag *d, const drv_options *o, ir_module *m) {
    if (!drv_is_ir(o->model)) return true;
    if (!m->funcs.count) {
        base_error(d, NULL, "'%s' has no function: there is nothing to compile",
                   base_escape(o->model, strlen(o->model)));
        return false;
    }
    const bool weights = fe_bind_ir_weights(d, m);
    return fe_tokenizers_check(d, m) && weights;
}

/* The networks of a pipeline without its loop. */
static void drop_pictures(ir_module *m) {
    ir_meta_set_string(m, EBRU_META_PIPELINE_KIND.name,
                       ebru_pipeline_kind_name[EBRU_PIPELINE_NONE]);
    if (ir_meta_get(m, EBRU_META_PIPELINE_IMAGE_INPUT.name))
        ir_meta_set_int(m, EBRU_META_PIPELINE_IMAGE_INPUT.name, 0);
    if (ir_meta_get(m, EBRU_META_PIPELINE_CONTROLS.name))
        ir_meta_set_int(m, EBRU_META_PIPELINE_CONTROLS.name, 0);
}

bool drv_lower(base_diag *d, const drv_options *o, const fe_options *fe, drv_build *b) {
    return drv_lower_observed(d, o, fe, b, NULL, NULL);
}

bool drv_lower_observed(base_diag *d, const drv_options *o, const fe_options *fe, drv_build *b,
                        void (*loaded)(void *user, const ir_module *m), void *user) {
    memset(b, 0, sizeof *b);
    const ir_target *t[DRV_MAX_LEVELS];
    uint32_t n = targets(d, &o->code, t);
    if (!n || !drv_quantization_open(d, o, &b->quantization) ||
        !drv_tuning_open(d, &o->code, o->run.threads, &b->tuning))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        t[i] = drv_tuning_target(&b->tuning, t[i], n == 1, &b->tuned[i]);
        fe_options of_level = *fe;
        of_level.told = i > 0;
        ir_module *m = drv_load_for(d, o->model, &of_level, t[i]);
        if (!m || !bind(d, o, m)) {
            ir_module_free(m);
            return false;
        }
        if (o->code.no_pictures) drop_pictures(m);
        if (o->command & DRV_COMPILE) {
            if (i) /* the same weights once more */
                ir_meta_set_string(
                    m, EBRU_META_MODEL_DIGEST.name,
                    ir_meta_string(b->levels[0].module, EBRU_META_MODEL_DIGEST.name, NULL));
            fe_note_digest(m);
        }
        if (loaded) loaded(user, m);
        b->levels[i] = (cg_level){t[i], m};
        b->contexts[i] = pass_context_new(m, t[i]);
        b->count = i + 1;
        if (!drv_quantization_apply(d, o, b->quantization, m)) return false;
        pass_options p = drv_pass_options(o, b->quantization);
        p.widest = n > 1 ? t[n - 1] : NULL;
        if (i + 1 < n) { /* one level's IR is enough to read */
            p.dump_dir = p.print_before = p.print_after = NULL;
            p.print_changed = p.time_passes = false;
        }
        if (!drv_clear_dumps(d, p.dump_dir, o->model) || !pass_run(b->contexts[i], &p, d))
            return false;
    }
    return n > 0;
}

void drv_build_free(drv_build *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        pass_context_free(b->contexts[i]);
        ir_module_free(b->levels[i].module);
    }
    for (uint32_t i = 0; i < DRV_MAX_LEVELS; i++) {
        base_free(b->tuned[i]);
        b->tuned[i] = NULL;
    }
    drv_tuning_close(&b->tuning);
    drv_quantization_free(b->quantization);
    b->quantization = NULL;
    b->count = 0;
}

static char *build_info(const drv_options *o, const drv_build *b) {
    base_str s = {0};
    base_str_addf(&s, "ebru build info\nversion: %s\n", drv_version);
    base_str_add(&s, "model: ");
    base_str_add_shown(&s, ir_meta_string(b->levels[0].module, EBRU_META_MODEL_NAME.name,
                                          EBRU_META_MODEL_NAME.otherwise));
    base_str_add(&s, "\n");
    base_str_addf(&s, "precision: %s\noptimisation: -O%d\nparameters: %lld\n",
                  ir_meta_string(b->levels[0].module, EBRU_META_PRECISION.name,
                                 EBRU_META_PRECISION.otherwise),
                  (int)o->code.opt_level, (long long)ir_parameter_count(b->levels[0].module));
    const char *const parts[][2] = {{"unet", o->load.unet},
                                    {"vae", o->load.vae},
                                    {"text encoder", o->load.text_encoder},
                                    {"text encoder 2", o->load.text_encoder_2}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!parts[i][1]) continue;
        const char *name = fe_path_base(b->levels[0].module->arena, parts[i][1]);
        base_str_addf(&s, "%s: %s\n", parts[i][0], base_escape(name, strlen(name)));
    }
    const char *quantization =
        ir_meta_string(b->levels[0].module, EBRU_META_QUANTIZATION.name, NULL);
    if (quantization) base_str_addf(&s, "quantization: %s\n", quantization);
    for (uint32_t i = 0; i < o->load.lora_count; i++) {
        const char *slash = strrchr(o->load.loras[i].path, '/');
        const char *name = slash ? slash + 1 : o->load.loras[i].path;
        base_str_addf(&s, "lora: %s times ", base_escape(name, strlen(name)));
        base_print_f64(o->load.loras[i].scale, &s);
        base_str_add(&s, "\n");
    }
    for (uint32_t i = 0; i < o->load.controlnet_count + o->load.adapter_count; i++) {
        bool net = i < o->load.controlnet_count;
        const char *path = net ? o->load.controlnets[i]
                               : o->load.adapters[i - o->load.controlnet_count],
                   *slash = strrchr(path, '/');
        base_str_add(&s, net ? "controlnet: " : "t2i-adapter: ");
        base_str_add_shown(&s, slash && slash[1] ? slash + 1 : path);
        base_str_add(&s, "\n");
    }
    for (uint32_t i = 0; i < o->load.ip_adapter_count; i++) {
        const char *slash = strrchr(o->load.ip_adapters[i].path, '/');
        base_str_add(&s, "ip-adapter: ");
        base_str_add_shown(&s, slash ? slash + 1 : o->load.ip_adapters[i].path);
        base_str_add(&s, "\n");
    }
    for (uint32_t i = 0; i < o->load.embedding_count; i++) {
        const char *slash = strrchr(o->load.embeddings[i], '/');
        base_str_add(&s, "embedding: ");
        base_str_add_shown(&s, slash ? slash + 1 : o->load.embeddings[i]);
        base_str_add(&s, "\n");
    }
    return s.data;
}

struct progress {
    bool on, bar;
    char last[40];
};

static void show_progress(void *user, const char *phase, uint32_t done, uint32_t total) {
    struct progress *p = user;
    if (!p->on) return;
    bool same = !strcmp(p->last, phase);
    snprintf(p->last, sizeof p->last, "%s", phase);
    if (p->bar)
        fprintf(stderr, "\r\033[K%s %u/%u", phase, done, total);
    else if (!same)
        fprintf(stderr, "%s\n", phase);
}

bool drv_emit(base_diag *d, const drv_options *o, drv_build *b, const char *output,
              cg_emit_kind kind, cg_result *result) {
    ir_module *m = b->levels[0].module;
    size_t tokenizer_bytes = 0, tokenizer_2_bytes = 0;
    unsigned char *tokenizer = fe_tokenizer_blob(d, m, "tokenizer", &tokenizer_bytes);
    unsigned char *tokenizer_2 = fe_tokenizer_blob(d, m, "tokenizer_2", &tokenizer_2_bytes);
    if (base_diag_errors(d)) {
        base_free(tokenizer);
        base_free(tokenizer_2);
        return false;
    }
    char *info = build_info(o, b);
    base_str functions = {0};
    drv_describe_functions(b->levels[b->count - 1].module, &functions);
    const char *term = getenv("TERM");
    struct progress p = {!o->common.quiet, isatty(2) && term && strcmp(term, "dumb") != 0, ""};
    for (uint32_t i = 0; i < b->count; i++)
        ir_meta_set_string(b->levels[i].module, EBRU_META_EBRU_VERSION.name, drv_version);
    cg_options c = {
        .kind = kind,
        .output = output,
        .weights = o->code.placement < 0 ? CG_WEIGHTS_EMBED : (cg_weights)o->code.placement,
        .opt_level = (int)o->code.opt_level,
        .tokenizer = tokenizer,
        .tokenizer_bytes = tokenizer_bytes,
        .tokenizer_2 = tokenizer_2,
        .tokenizer_2_bytes = tokenizer_2_bytes,
        .build_info = info,
        .functions = functions.data,
        .filter = o->passes.filter,
        .linker = o->code.linker,
        .verbose = o->common.verbose,
        .poison = o->code.poison,
        .check_finite = o->code.check_finite,
        .networks_only = o->code.no_pictures || o->command != DRV_COMPILE,
        .progress = show_progress,
        .user = &p,
    };
    if (o->run.op && o->command == DRV_COMPILE)
        drv_find_op(d, m, o->load.function, o->run.op, &c.only_function, &c.only_node);
    /* programs beyond a gigabyte keep their weights behind the code, out of the linker's reach */
    if (o->code.placement < 0 && kind != CG_OBJ &&
        b->contexts[0]->memory.weights_bytes > (uint64_t)1 << 30)
        c.weights = CG_WEIGHTS_APPEND;
    bool ok = !base_diag_errors(d) && cg_emit(d, b->levels, b->count, &c, result);
    if (p.on && p.bar && p.last[0]) fprintf(stderr, "\r\033[K");
    base_free(info);
    base_str_free(&functions);
    base_free(tokenizer);
    base_free(tokenizer_2);
    return ok;
}
