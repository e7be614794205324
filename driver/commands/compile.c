/* ebru compile: a model to a program, or to any stage on the way. */
#include "base/suggest.h"
#include "base/system/clock.h"
#include "base/system/output.h"
#include "driver/analyze/analyze.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/commands/lists.h"
#include "driver/commands/lower.h"
#include "driver/driver.h"
#include "driver/html/html.h"
#include "runtime/abi/meta_keys.h"

#include <stdlib.h>
#include <string.h>

static int fail(base_diag *d, int code) {
    base_diag_flush(d);
    return code;
}

static bool write_module(base_diag *d, const ir_module *m, const char *output, bool dot, bool loc) {
    base_str text = {0};
    if (dot)
        drv_dot(m, &text);
    else
        ir_print_text(m, loc, &text);
    bool ok = drv_write_text(d, output ? output : "-", text.data, text.len);
    base_str_free(&text);
    return ok;
}

/* The pass after which the module stands at the level that --emit=ir:LEVEL asks for; NULL for the
 * last one. */
static const char *pass_of_level(ir_level level) {
    const char *last = NULL;
    if (level == IR_PLACED) return NULL;
    for (uint32_t i = 0; i < pass_count(); i++)
        if (pass_get(i)->level_out <= level) last = pass_get(i)->name;
    return last;
}

struct what {
    cg_emit_kind kind;
    bool ir, dot, html;
    const char *stop_after;
};

static int what_to_emit(const drv_options *o, struct what *w) {
    static const char *const kinds[] = {"exe", "obj", "lib", "asm", "llvm-ir"};
    static const char *const all[] = {"exe",       "obj",       "lib",      "asm",
                                      "llvm-ir",   "ir",        "ir:graph", "ir:fused",
                                      "ir:kernel", "ir:placed", "dot",      "html"};
    *w = (struct what){
        .kind = CG_EXE, .stop_after = o->passes.stop_after, .ir = o->passes.stop_after != NULL};
    const char *e = o->code.emit;
    if (!e) return 0;
    for (int i = 0; i < 5; i++)
        if (!strcmp(e, kinds[i])) {
            if (w->ir) {
                fprintf(stderr,
                        "ebru: error: --stop-after= ends with IR; it does not go with --emit=%s\n",
                        e);
                return DRV_USAGE;
            }
            w->kind = (cg_emit_kind)i;
            return 0;
        }
    w->html = !strcmp(e, "html");
    if (w->html) {
        w->ir = false; /* of any level, but not without -o */
        return 0;
    }
    w->ir = true;
    w->dot = !strcmp(e, "dot");
    if (w->dot || !strcmp(e, "ir")) return 0;
    for (int l = 0; l < IR_LEVEL_COUNT; l++)
        if (!strncmp(e, "ir:", 3) && !strcmp(e + 3, ir_level_name[l])) {
            if (!w->stop_after) w->stop_after = pass_of_level((ir_level)l);
            return 0;
        }
    char hint[BASE_HINT_MAX];
    const char *near = base_suggest(e, all, sizeof all / sizeof *all);
    fprintf(stderr, "ebru: error: --emit: unknown kind '%s'%s", base_escape(e, strlen(e)),
            near ? base_hint(near, hint) : "; there are");
    for (size_t i = 0; !near && i < sizeof all / sizeof *all; i++)
        fprintf(stderr, "%s %s", i ? "," : "", all[i]);
    fprintf(stderr, "\n");
    return DRV_USAGE;
}

static bool is_code_text(const struct what *w) {
    return !w->ir && !w->html && (w->kind == CG_ASM || w->kind == CG_LLVM_IR);
}

static int check_op(const drv_options *o, const struct what *w) {
    if (!o->run.op || is_code_text(w)) return 0;
    fprintf(stderr, "ebru: error: --op= shows the code of one op: it goes with --emit=asm or "
                    "--emit=llvm-ir (bench --op= times it)\n");
    return DRV_USAGE;
}

/* Kinds of output by the endings that names of them have; emit: NULL where ebru makes none. */
static const struct {
    const char *ending, *emit, *what;
} endings[] = {{".so", "lib", "a shared library"}, {".a", NULL, "a static library"},
               {".o", "obj", "an object file"},    {".s", "asm", "assembly"},
               {".S", "asm", "assembly"},          {".ll", "llvm-ir", "LLVM's IR"},
               {".ir", "ir", "IR text"},           {".dot", "dot", "a graph"},
               {".html", "html", "a report"}};

/* The name of the output is that of another kind. */
static void warn_of_ending(base_diag *d, const drv_options *o, const struct what *w) {
    const char *name = o->common.output, *dot = name ? strrchr(name, '.') : NULL,
               *emit = o->code.emit ? o->code.emit
                       : w->ir      ? "ir"
                                    : "exe";
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++) {
        const char *other = endings[i].emit;
        if (strcmp(dot, endings[i].ending) != 0 || (other && !strncmp(emit, other, strlen(other))))
            continue;
        base_warning(d, NULL, "'%s' is named as %s, and will be what --emit=%s writes%s%s",
                     base_escape(name, strlen(name)), endings[i].what, emit,
                     other ? "; for that there is --emit=" : "", other ? other : "");
    }
}

/* Options that say how something is shown, where nothing of it is. */
static void warn_of_idle(base_diag *d, const drv_options *o, const struct what *w) {
    const drv_pass_choice *p = &o->passes;
    bool prints = p->print_before || p->print_after || p->print_changed, code = is_code_text(w);
    if (p->filter && !prints && !code)
        base_warning(d, NULL,
                     "--filter= has no effect: it goes with --print-before=, "
                     "--print-after=, --print-changed, --emit=asm and --emit=llvm-ir");
    if (p->no_loc && !prints && !p->dump_dir && (!w->ir || w->dot))
        base_warning(d, NULL, "--no-loc has no effect: no IR is printed, dumped or emitted");
}

/* What the compiler did, in a few lines on stderr. */
static void summary(const drv_options *o, const drv_build *b, const cg_result *r, double seconds) {
    const ir_module *m = b->levels[0].module;
    double flops = 0;
    uint64_t arena = 0;
    size_t nodes = 0;
    for (size_t i = 0; i < m->funcs.count; i++) {
        flops += ir_func_cost(m->funcs.items[i]).flops;
        nodes += m->funcs.items[i]->nodes.count;
    }
    for (uint32_t l = 0; l < b->count; l++)
        for (size_t i = 0; i < b->levels[l].module->funcs.count; i++)
            if (b->levels[l].module->funcs.items[i]->arena_bytes > arena)
                arena = b->levels[l].module->funcs.items[i]->arena_bytes;
    fprintf(stderr, "%s: %zu functions, %zu nodes, %llu kernels, %.2f GFLOP, levels",
            base_shown(ir_meta_string(m, EBRU_META_MODEL_NAME.name, o->model)), m->funcs.count,
            nodes, (unsigned long long)r->kernels, flops * 1e-9);
    for (uint32_t i = 0; i < b->count; i++) fprintf(stderr, " %s", b->levels[i].target->level);
    fprintf(stderr, "\nweights %.1f MiB (%lld parameters), arena %llu bytes\n",
            (double)r->weights_bytes / 1048576.0, (long long)ir_parameter_count(m),
            (unsigned long long)arena);
    if (b->tuning.log.used)
        fprintf(stderr, "tiles of %u kernels from tuning records\n", b->tuning.log.used);
    const char *left_out = ir_meta_string(m, EBRU_META_PIPELINE_IGNORED.name, NULL);
    if (left_out) fprintf(stderr, "without %s\n", base_shown(left_out));
    fprintf(stderr, "%s: %.1f MiB, compiled in %.1f s\n", base_shown(o->common.output),
            (double)r->output_bytes / 1048576.0, seconds);
}

static void list_passes(void) {
    base_str text = {0};
    pass_list(&text);
    fwrite(text.data, 1, text.len, stdout);
    base_str_free(&text);
}

static int list_cpu_levels(const drv_options *o) {
    base_diag *d = drv_diag(&o->common);
    base_str text = {0};
    int code = drv_list_cpu_levels(d, o->code.target, &text) ? DRV_OK : DRV_USAGE;
    if (text.len) fwrite(text.data, 1, text.len, stdout);
    base_str_free(&text);
    base_diag_flush(d);
    base_diag_free(d);
    return code;
}

/* Reports to standard output, the metafile to its file; false with a diagnostic. */
static bool reports(base_diag *d, const drv_options *o, const drv_build *b) {
    const ir_module *m = b->levels[b->count - 1].module;
    pass_context *c = b->contexts[b->count - 1];
    base_str text = {0};
    if (o->show.fusion_report || o->show.fusion_json)
        drv_fusion_report(c, b->quantization, o->show.fusion_json, &text);
    if (o->show.analyze) drv_analyze(m, (uint32_t)o->show.depth, &text);
    if (text.len) fwrite(text.data, 1, text.len, stdout);
    base_str_free(&text);
    if (!o->show.metafile) return true;
    drv_metafile(m, c, b->quantization, &text);
    bool ok = drv_write_text(d, o->show.metafile, text.data, text.len);
    base_str_free(&text);
    return ok;
}

/* All that will be written can be, as far as that is known before the work. */
static int check_outputs(base_diag *d, const drv_options *o, const struct what *w, bool reporting) {
    bool text = w->ir || w->html || w->kind == CG_ASM || w->kind == CG_LLVM_IR;
    if (!text && o->common.output && strcmp(o->common.output, "-") == 0) {
        base_error(d, NULL,
                   "only text (--emit=asm, llvm-ir, ir, dot, html) goes to standard "
                   "output; name a file with -o");
        return DRV_USAGE;
    }
    if (!drv_are_apart(d, "-o", o->common.output, "--metafile", o->show.metafile)) return DRV_USAGE;
    bool fine = drv_can_write(d, o->common.output);
    fine &= drv_can_write(d, o->show.metafile);
    if (fine && !text && o->common.output && o->code.placement == CG_WEIGHTS_EXTERNAL) {
        base_str weights = {0};
        char *target = base_output_target(o->common.output);
        base_str_addf(&weights, "%s.weights", target ? target : o->common.output);
        fine = drv_can_write(d, weights.data);
        bool apart =
            drv_are_apart(d, "the weights of -o", weights.data, "--metafile", o->show.metafile);
        base_str_free(&weights);
        free(target);
        if (!apart) return DRV_USAGE;
    }
    bool printing = reporting && (!o->show.metafile || o->show.fusion_report ||
                                  o->show.fusion_json || o->show.analyze);
    if (printing || (!o->common.output && !reporting)) fine &= drv_can_write(d, "-");
    return fine ? DRV_OK : DRV_IO;
}

/* Options that say how a model is read do nothing to IR, which has been read. */
static void tell_ignored(base_diag *d, const drv_options *o) {
    const drv_load_options *l = &o->load;
    const struct {
        bool given;
        const char *name;
    } options[] = {
        {l->component, "--component"},
        {l->function && !o->run.op, "--function"}, /* with --op it says whose op */
        {l->size, "--size"},
        {l->batch > 0, "--batch"},
        {l->clip_skip > 0, "--clip-skip"},
        {l->prompt_chunks > 0, "--prompt-chunks"},
        {l->prediction, "--prediction"},
        {l->no_image_input, "--no-image-input"},
        {l->random_weights, "--weights=random:"},
    };
    for (size_t i = 0; o->model && drv_is_ir(o->model) && i < sizeof options / sizeof *options; i++)
        if (options[i].given)
            base_warning(d, NULL, "%s does nothing: '%s' is IR, from a model that has been read",
                         options[i].name, base_escape(o->model, strlen(o->model)));
}

int drv_compile(const drv_options *given) {
    drv_options o = *given;
    if (o.show.list_passes) {
        list_passes();
        return DRV_OK;
    }
    if (o.show.list_cpu_levels) return list_cpu_levels(&o);
    struct what w;
    int bad = what_to_emit(&o, &w);
    if (bad) return bad;
    o.passes.stop_after = w.stop_after;
    bool reporting =
        o.show.fusion_report || o.show.fusion_json || o.show.analyze || o.show.metafile;
    if (!o.common.output && !w.ir && !reporting) {
        fprintf(stderr, "ebru: error: compile: name the output with -o\n");
        return DRV_USAGE;
    }
    bad = check_op(&o, &w);
    if (bad) return bad;
    double start = base_now();
    base_diag *d = drv_diag(&o.common);
    tell_ignored(d, &o);
    warn_of_idle(d, &o, &w);
    warn_of_ending(d, &o, &w);
    drv_build b = {0};
    fe_options fe = drv_fe_options(&o.load);
    if (o.run.op) fe.function = NULL; /* names the lowered function that has the op */
    cg_result result = {0};
    drv_html *page = w.html ? drv_html_new() : NULL;
    int code = check_outputs(d, &o, &w, reporting);
    if (code) {
        /* told */
    } else if (!drv_make_dump_dir(d, o.passes.dump_dir))
        code = DRV_IO;
    else if (!drv_lower_observed(d, &o, &fe, &b, page ? drv_html_before : NULL, page))
        code = DRV_INPUT;
    else if ((code = check_outputs(d, &o, &w, reporting)) != DRV_OK) {
        /* told; now it is known which files the model consists of */
    } else if (!reports(d, &o, &b))
        code = DRV_IO;
    else {
        if (page) {
            if (!drv_html_write(d, page, &o, &b, NULL, base_now() - start, o.common.output))
                code = DRV_IO;
        } else if (w.ir) {
            if (o.common.output || !reporting)
                code = write_module(d, b.levels[b.count - 1].module, o.common.output, w.dot,
                                    !o.passes.no_loc)
                           ? DRV_OK
                           : DRV_IO;
        } else if (o.common.output && b.levels[0].module->level != IR_PLACED) {
            base_error(d, NULL, "the passes end at level %s, and code is generated from placed",
                       ir_level_name[b.levels[0].module->level]);
            base_note(d, NULL, "--emit=ir writes what there is; without --passes= all run");
            code = DRV_USAGE;
        } else if (o.common.output) {
            bool fine = drv_emit(d, &o, &b, o.common.output, w.kind, &result);
            code = fine ? DRV_OK : result.unmatched || o.run.op ? DRV_INPUT : DRV_IO;
            if (!code && !o.common.quiet) summary(&o, &b, &result, base_now() - start);
        }
    }
    drv_build_free(&b);
    drv_html_free(page);
    fail(d, code);
    base_diag_free(d);
    return code;
}

int drv_opt(const drv_options *o) {
    if (o->show.list_passes || o->show.list_ops || o->show.list_properties) {
        base_str text = {0};
        if (o->show.list_ops) drv_list_ops(&text);
        if (o->show.list_properties) drv_list_properties(&text);
        if (o->show.list_passes) list_passes();
        if (text.len) fwrite(text.data, 1, text.len, stdout);
        base_str_free(&text);
        return DRV_OK;
    }
    base_diag *d = drv_diag(&o->common);
    tell_ignored(d, o);
    warn_of_idle(d, o, &(struct what){.ir = true});
    fe_options fe = drv_fe_options(&o->load);
    bool dumps = drv_make_dump_dir(d, o->passes.dump_dir);
    int code = dumps ? DRV_INPUT : DRV_IO;
    const cg_arch *arch = cg_arch_find(d, o->code.target);
    const ir_target *target =
        arch ? cg_arch_target(d, arch, o->code.cpu ? o->code.cpu : cg_arch_default(arch)) : NULL;
    drv_tuning tuning = {0};
    drv_quantization *quantization = NULL;
    ir_target *tuned = NULL;
    if (target && !drv_quantization_open(d, o, &quantization)) target = NULL;
    if (target)
        target = drv_tuning_open(d, &o->code, o->run.threads, &tuning)
                     ? drv_tuning_target(&tuning, target, true, &tuned)
                     : NULL;
    /* what is only printed may be bound for any CPU level */
    const bool compiled = o->code.cpu || o->passes.list || o->passes.stop_after;
    ir_module *m = dumps ? drv_load_for(d, o->model, &fe, compiled ? target : NULL) : NULL;
    /* folding reads weights; IR whose files are not there can still be printed and rewritten
     * otherwise */
    if (m && target &&
        (!o->passes.list || !*o->passes.list || !drv_is_ir(o->model) || fe_bind_ir_weights(d, m))) {
        pass_context *c = pass_context_new(m, target);
        pass_options p = drv_pass_options(o, quantization);
        if (!p.passes && !p.stop_after && !p.start_after) p.passes = "";
        if (drv_quantization_apply(d, o, quantization, m) &&
            drv_clear_dumps(d, p.dump_dir, o->model) && pass_run(c, &p, d))
            code = write_module(d, m, o->common.output, false, !o->passes.no_loc) ? DRV_OK : DRV_IO;
        base_str text = {0};
        if (!code && (o->show.fusion_report || o->show.fusion_json)) {
            drv_fusion_report(c, quantization, o->show.fusion_json, &text);
            fwrite(text.data, 1, text.len, stderr);
        }
        base_str_free(&text);
        pass_context_free(c);
    }
    ir_module_free(m);
    base_free(tuned);
    drv_tuning_close(&tuning);
    drv_quantization_free(quantization);
    base_diag_flush(d);
    base_diag_free(d);
    return code;
}
