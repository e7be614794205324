/* Programs that are an upscaler alone: the picture of -i, enlarged. */
#include "runtime/cli/paint/paint_pictures.h"
#include "runtime/cli/paint/picture_names.h"
#include "runtime/cli/program.h"
#include "runtime/image/png_reader.h"
#include "runtime/pipeline/upscale.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>

static char *text_of(const rt_engine *e, const rt_pipeline_info *info) {
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    fprintf(f, "Upscaler: %s, Upscale: %d, Version: ebru %s",
            rt_meta_string(e->model->tables, EBRU_META_MODEL_NAME), info->upscale,
            rt_meta_string(e->model->tables, EBRU_META_EBRU_VERSION));
    fclose(f);
    return out;
}

static rt_status write_out(const rt_engine *e, const rt_options *o, const rt_pipeline_info *info,
                           const uint8_t *pixels, uint32_t width, uint32_t height, rt_error *err) {
    const rt_names names = {o->output, 1};
    char name[RT_NAME_MAX], shown[RT_PRINTABLE_MAX];
    char *text = o->no_metadata ? NULL : text_of(e, info);
    rt_png_text chunk = {"parameters", text};
    rt_output to;
    rt_names_get(&names, 0, name);
    rt_status s = rt_output_begin(&to, name, err);
    if (!s)
        s = rt_names_format(&names)->encode(&to, pixels, width, height, info->channels, &chunk,
                                            text ? 1 : 0, err);
    if (!s) s = rt_names_commit(&names, &to, name, err);
    free(text);
    if (!s && !o->quiet) fprintf(stderr, "wrote %s\n", rt_printable(name, shown));
    return s;
}

rt_status rt_program_upscale(rt_engine *e, const rt_options *o, const rt_pipeline_info *info,
                             rt_progress *progress, rt_error *err) {
    const rt_names names = {o->output, 1};
    uint8_t *pixels = NULL, *out = NULL;
    uint32_t w, h;
    rt_network *net = NULL;
    if (!o->init_image)
        return rt_fail(err, RT_ERR_USAGE, "nothing to enlarge: give a picture with -i");
    rt_status s = rt_names_check(&names, err);
    if (!s) s = rt_picture_as_it_is(&pixels, &w, &h, o, info->channels, err);
    if (s) return s;
    uint64_t width = (uint64_t)w * (uint64_t)info->upscale,
             height = (uint64_t)h * (uint64_t)info->upscale;
    s = rt_names_format(&names)->check((uint32_t)width, (uint32_t)height, info->channels, err);
    if (!s && !o->quiet && ((int)w != info->width || (int)h != info->height))
        fprintf(stderr,
                "note: the picture is %ux%u pixels, this program was compiled for %dx%d: it is "
                "enlarged piece by piece\n",
                w, h, info->width, info->height);
    if (!s) out = malloc((size_t)width * (size_t)height * (size_t)info->channels);
    if (!s && !out) s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    if (!s) s = rt_upscaler_open(&net, e, info, err);
    if (!s) {
        rt_progress_phase(progress, "upscale", 0);
        rt_profile_phase(e->profile, "upscale");
        s = rt_upscale(net, info, pixels, (int)w, (int)h, out, err);
    }
    rt_progress_close(progress);
    if (!s) s = write_out(e, o, info, out, (uint32_t)width, (uint32_t)height, err);
    rt_network_free(net);
    free(pixels);
    free(out);
    return s;
}
