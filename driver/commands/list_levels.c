/* ebru compile --list-cpu-levels: what -mcpu= takes, for people and for scripts. */
#include "base/cpu/cpu.h"
#include "codegen/target/arch.h"
#include "codegen/target/target.h"
#include "driver/cli/options.h"
#include "driver/commands/lists.h"
#include "runtime/abi/kernel_abi.h"

static const char *products(int32_t isa) {
    switch (ebru_bf16_form(isa)) {
    case EBRU_BF16_TILES: return "tiles";
    case EBRU_BF16_PAIRS: return "dot";
    default: return "f32";
    }
}

bool drv_list_cpu_levels(base_diag *d, const char *target, base_str *out) {
    const cg_arch *arch = cg_arch_find(d, target);
    if (!arch) return false;
    base_str_addf(out, "%-16s %-6s %-16s %-6s %s\n", "level", "lanes", "f32-code-of", "bf16",
                  "this machine");
    for (uint32_t i = 0; i < cg_arch_target_count(arch); i++) {
        const ir_target *t = cg_arch_target(d, arch, cg_arch_target_name(arch, i));
        const int32_t isa = cg_target_isa(t);
        base_str missing = {0};
        const bool runs = cg_target_runs_here(t, &missing);
        base_str_addf(out, "%-16s %-6u %-16s %-6s %s%s\n", t->level, t->lanes,
                      base_isa_name(base_isa_plain(isa)), products(isa), runs ? "runs" : "lacks ",
                      runs ? "" : missing.data);
        base_str_free(&missing);
    }
    return true;
}
