// Implicit GEMM for software adapters with subgroups: a workgroup is one subgroup of SUBGROUP (4 or 8) lanes and computes
// 2 SUBGROUP rows x 4 SUBGROUP columns. Every lane keeps four columns and fetches two rows of x, which all lanes then take from
// it: loads are what a software adapter is slow at, and broadcasts are cheap.
#import shared/index
#import shared/gemm

@compute @workgroup_size(SUBGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3u,
    @builtin(num_workgroups) nwg: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let columns4 = params.panels * 2u;
    let columns_of_workgroups = (columns4 + SUBGROUP - 1u) / SUBGROUP;
    let index = workgroup_index(wid, nwg);
    // Lanes past the last column repeat it and store nothing: all lanes must take part in the broadcasts.
    let column4 = index % columns_of_workgroups * SUBGROUP + lane;
    let read4 = min(column4, columns4 - 1u);
    let first_row = index / columns_of_workgroups * (2u * SUBGROUP);
    var k4 = read4 / 2u * params.kernel_h * params.kernel_w * params.read_channels4;
    var low: array<vec4f, 8>;
    var high: array<vec4f, 8>;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let low_base = pixel_base(first_row + lane, ky, kx);
            let high_base = pixel_base(first_row + SUBGROUP + lane, ky, kx);
            for (var c4 = 0u; c4 < params.read_channels4; c4++) {
                let a = load_row(low_base, c4);
                let c = load_row(high_base, c4);
                let b = weights(k4, read4 % 2u);
                k4++;
                low[0] = multiply(low[0], subgroupBroadcast(a, 0u), b);
                low[1] = multiply(low[1], subgroupBroadcast(a, 1u), b);
                low[2] = multiply(low[2], subgroupBroadcast(a, 2u), b);
                low[3] = multiply(low[3], subgroupBroadcast(a, 3u), b);
                high[0] = multiply(high[0], subgroupBroadcast(c, 0u), b);
                high[1] = multiply(high[1], subgroupBroadcast(c, 1u), b);
                high[2] = multiply(high[2], subgroupBroadcast(c, 2u), b);
                high[3] = multiply(high[3], subgroupBroadcast(c, 3u), b);
                if (SUBGROUP == 8u) {
                    low[4] = multiply(low[4], subgroupBroadcast(a, 4u), b);
                    low[5] = multiply(low[5], subgroupBroadcast(a, 5u), b);
                    low[6] = multiply(low[6], subgroupBroadcast(a, 6u), b);
                    low[7] = multiply(low[7], subgroupBroadcast(a, 7u), b);
                    high[4] = multiply(high[4], subgroupBroadcast(c, 4u), b);
                    high[5] = multiply(high[5], subgroupBroadcast(c, 5u), b);
                    high[6] = multiply(high[6], subgroupBroadcast(c, 6u), b);
                    high[7] = multiply(high[7], subgroupBroadcast(c, 7u), b);
                }
            }
        }
    }
    for (var r = 0u; r < SUBGROUP; r++) {
        store(first_row + r, column4, low[r]);
        store(first_row + SUBGROUP + r, column4, high[r]);
    }
}
