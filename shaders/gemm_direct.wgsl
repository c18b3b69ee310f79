// Implicit GEMM for software adapters: every thread keeps 8 rows x 8 columns in registers and reads its operands straight
// from memory, where the host's caches serve it. A workgroup covers 64 x 64.
#import shared/index
#import shared/gemm

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_id) lid: vec3u) {
    let columns_of_workgroups = (params.panels + 7u) / 8u;
    let index = workgroup_index(wid, nwg);
    let panel = index % columns_of_workgroups * 8u + lid.x;
    let row = (index / columns_of_workgroups * 8u + lid.y) * 8u;
    if (panel >= params.panels || row >= params.rows) {
        return;
    }
    var acc_lo: array<vec4f, 8>;
    var acc_hi: array<vec4f, 8>;
    var k4 = panel * params.kernel_h * params.kernel_w * params.read_channels4;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            var base: array<u32, 8>;
            for (var r = 0u; r < 8u; r++) {
                base[r] = pixel_base(row + r, ky, kx);
            }
            for (var c4 = 0u; c4 < params.read_channels4; c4++) {
                let lo = weights(k4, 0u);
                let hi = weights(k4, 1u);
                for (var r = 0u; r < 8u; r++) {
                    let a = load_row(base[r], c4);
                    acc_lo[r] = multiply(acc_lo[r], a, lo);
                    acc_hi[r] = multiply(acc_hi[r], a, hi);
                }
                k4++;
            }
        }
    }
    for (var r = 0u; r < 8u; r++) {
        store(row + r, panel * 2u, acc_lo[r]);
        store(row + r, panel * 2u + 1u, acc_hi[r]);
    }
}
