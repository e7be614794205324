#include "frontend/files/hub_cache.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/files/files.h"
#include "frontend/files/formats.h"

bool fe_is_hub_cache(const char *path) {
    static const char *const files[] = {"model_index.json", "config.json", "model.json"};
    base_arena *a = base_arena_new();
    bool cache = fe_path_is_dir(fe_path_join(a, path, "snapshots"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        cache = cache && !fe_path_exists(fe_path_join(a, path, files[i]));
    base_arena_free(a);
    return cache;
}

/* The revision that refs/main names, if its snapshot is there. */
static char *main_snapshot(base_diag *d, base_arena *a, const char *path, const char *snapshots) {
    enum { LIMIT = 256 };
    char *ref = fe_path_join(a, path, "refs/main");
    fe_bytes text;
    if (!fe_path_is_file(ref) || !fe_file_read(d, ref, LIMIT, &text)) return NULL;
    size_t n = text.size;
    while (n > 0 && (text.data[n - 1] == '\n' || text.data[n - 1] == '\r')) n--;
    char *found = NULL;
    if (fe_name_is_plain(text.data, n)) {
        found = fe_path_join(a, snapshots, base_arena_strndup(a, text.data, n));
        if (!fe_path_is_dir(found)) found = NULL;
    }
    fe_bytes_free(&text);
    return found;
}

char *fe_hub_snapshot(base_diag *d, base_arena *a, const char *path) {
    unsigned before = base_diag_errors(d);
    char *snapshots = fe_path_join(a, path, "snapshots"),
         *found = main_snapshot(d, a, path, snapshots);
    if (found || base_diag_errors(d) != before) return found;
    size_t count = 0;
    DIR *dir = opendir(snapshots);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!fe_name_is_plain(e->d_name, strlen(e->d_name))) continue;
        char *one = fe_path_join(a, snapshots, e->d_name);
        if (!fe_path_is_dir(one)) continue;
        found = one;
        count++;
    }
    if (dir) closedir(dir);
    if (count == 1) return found;
    base_loc loc = {.source = base_diag_source(d, snapshots, NULL, 0)};
    if (count)
        base_error(d, &loc,
                   "%zu snapshots, and refs/main names none of them: name the folder of one",
                   count);
    else
        base_error_missing(d, &loc, "there is no snapshot: the download is not complete");
    return NULL;
}

char *fe_hub_name(base_arena *a, const char *path) {
    char *real = realpath(path, NULL), *name = NULL;
    for (char *p = real; p && (p = strstr(p, "/models--")); p++) {
        char *from = p + strlen("/models--"), *end = from + strcspn(from, "/");
        if (*end && strncmp(end, "/snapshots/", strlen("/snapshots/")) != 0) continue;
        for (char *s = from; s + 1 < end; s++)
            if (s[0] == '-' && s[1] == '-') from = s + 2;
        if (from < end) name = base_arena_strndup(a, from, (size_t)(end - from));
    }
    free(real);
    return name;
}

/* ---- names on the hub ---- */

/* ORG/NAME as the hub allows them, and no name of a file that a model may be in. */
static bool is_hub_name(const char *word) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    static const char *const endings[] = {".json", ".safetensors", ".ckpt", ".bin", ".pt", ".pth"};
    enum { LONGEST = 96 };
    size_t n = strlen(word), org = strspn(word, letters);
    if (!org || word[org] != '/' || n > LONGEST || word[0] == '.' || word[org + 1] == '.')
        return false;
    size_t name = strspn(word + org + 1, letters);
    if (!name || word[org + 1 + name]) return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t k = strlen(endings[i]);
        if (n > k && strcmp(word + n - k, endings[i]) == 0) return false;
    }
    return true;
}

/* Where huggingface_hub keeps what it downloads. */
static char *cache_of(base_arena *a, const char *word) {
    const char *hub = getenv("HF_HUB_CACHE"), *hf = getenv("HF_HOME"), *home = getenv("HOME");
    size_t org = strcspn(word, "/");
    char *name = base_arena_printf(a, "models--%.*s--%s", (int)org, word, word + org + 1);
    if (hub && *hub) return fe_path_join(a, hub, name);
    if (hf && *hf) return fe_path_join(a, fe_path_join(a, hf, "hub"), name);
    if (home && *home)
        return fe_path_join(a, fe_path_join(a, home, ".cache/huggingface/hub"), name);
    return NULL;
}

/* What is wanted of a repository, by fe_hub_use: which of its files, and how they are named. */
static const struct hub_row {
    const char *what, *include, *option, *file;
} hub_rows[] = {
    [FE_HUB_MODEL] = {"model", "'*.json' '*.txt' '*/*.safetensors'", "", ""},
    [FE_HUB_COMPONENT] = {"component", "'*.json' '*.safetensors'", "", ""},
    [FE_HUB_LORA] = {"LoRA", "'*.safetensors'", "--lora=", "/FILE.safetensors"},
    [FE_HUB_SCHEDULER] = {"model", "'scheduler/*.json'",
                          "--scheduler-config=", "/scheduler/scheduler_config.json"},
    [FE_HUB_TENSORS] = {"repository", "'*.safetensors'", "--io=", "/FILE.safetensors"},
};

void fe_hub_advice(base_diag *d, const char *word, fe_hub_use use) {
    if (!is_hub_name(word)) return;
    base_arena *a = base_arena_new();
    /* in a folder that is there it is a file's name */
    if (fe_path_is_dir(base_arena_strndup(a, word, strcspn(word, "/")))) {
        base_arena_free(a);
        return;
    }
    const char *cache = cache_of(a, word), *name = strchr(word, '/') + 1;
    const struct hub_row *row = &hub_rows[use];
    if (cache && fe_path_is_dir(cache)) {
        base_note(d, NULL, "the Hugging Face cache has this %s: name %s, %s", row->what,
                  use == FE_HUB_MODEL || use == FE_HUB_COMPONENT ? "its folder"
                                                                 : "a file below its folder",
                  cache);
    } else {
        base_note(d, NULL,
                  "this may be a model's name on the Hugging Face Hub; ebru downloads nothing. "
                  "Type: huggingface-cli download %s --include %s --local-dir %s",
                  word, row->include, name);
        base_note(d, NULL, "then name the %s: %s%s%s", *row->file ? "file" : "folder", row->option,
                  name, row->file);
    }
    base_arena_free(a);
}

/* ---- folders ---- */

void fe_folder_advice(base_diag *d, const char *path, const char *option) {
    base_arena *a = base_arena_new();
    const char *first = NULL;
    size_t count = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        const char *name = e->d_name;
        if (!fe_name_is_plain(name, strlen(name)) || !name[fe_stem_length(name)]) continue;
        count++;
        if (!first || strcmp(name, first) < 0) first = base_arena_strdup(a, name);
    }
    if (dir) closedir(dir);
    if (first) first = fe_path_join(a, path, first);
    if (first)
        base_note(d, NULL, "it holds %zu safetensors file%s: name %s, as %s%s", count,
                  count == 1 ? "" : "s", count == 1 ? "it" : "one", option,
                  base_escape(first, strlen(first)));
    base_arena_free(a);
}
