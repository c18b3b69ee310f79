// Implicit GEMM for hardware where there are few rows: a workgroup computes 4 rows x 64 columns, and 16 threads share the reduced
// axis of each of them, so that even one row keeps a device busy. Their sums meet in workgroup memory.
#import shared/index
#import shared/gemm

const ROWS = 4u;
const SLICES = 16u;
const COLUMNS4 = 16u;

// partial: (ROWS, SLICES, COLUMNS4)
var<workgroup> partial: array<vec4f, 1024>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let columns_of_workgroups = (params.panels + 7u) / 8u;
    let index = workgroup_index(wid, nwg);
    let first_panel = index % columns_of_workgroups * 8u;
    let first_row = index / columns_of_workgroups * ROWS;
    let depth4 = params.kernel_h * params.kernel_w * params.read_channels4;
    // Neighbouring threads read neighbouring parts of w: the halves of a line, then the next slices.
    let slice = li / 2u % SLICES;
    let column4 = li / 32u * 2u + li % 2u;
    // Threads past the last panel repeat it and store nothing.
    let panel = min(first_panel + column4 / 2u, params.panels - 1u);
    var acc: array<vec4f, ROWS>;
    for (var k4 = slice; k4 < depth4; k4 += SLICES) {
        let tap = k4 / params.read_channels4;
        let ky = tap / params.kernel_w;
        let kx = tap % params.kernel_w;
        let c4 = k4 % params.read_channels4;
        let b = weights(panel * depth4 + k4, li % 2u);
        acc[0] = multiply(acc[0], load_row(pixel_base(first_row, ky, kx), c4), b);
        acc[1] = multiply(acc[1], load_row(pixel_base(first_row + 1u, ky, kx), c4), b);
        acc[2] = multiply(acc[2], load_row(pixel_base(first_row + 2u, ky, kx), c4), b);
        acc[3] = multiply(acc[3], load_row(pixel_base(first_row + 3u, ky, kx), c4), b);
    }
    for (var r = 0u; r < ROWS; r++) {
        partial[(r * SLICES + slice) * COLUMNS4 + column4] = acc[r];
    }
    workgroupBarrier();
    if (li < ROWS * COLUMNS4) {
        var sum = vec4f(0.0);
        for (var s = 0u; s < SLICES; s++) {
            sum += partial[(li / COLUMNS4 * SLICES + s) * COLUMNS4 + li % COLUMNS4];
        }
        store(first_row + li / COLUMNS4, first_panel * 2u + li % COLUMNS4, sum);
    }
}
