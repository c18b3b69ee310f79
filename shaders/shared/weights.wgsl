// The panels of a product's weight (N / 8, taps * C, 8), by ENCODING: F32 lies as it is. F16 (1) and BF16 (2), and whole numbers of 8 (3)
// and 4 bits (4), come in blocks of four lines and four columns, (N / 8, taps * C / 4, 2, 4, 4), the last two with a scale for every
// column and 32 channels behind them all, (N / 8, taps, C / 32, 8).
// Needs the binding `w` of array<vec4u>, and `weight_shape` for C / 4, and N / 8 times taps.

// Line i of four columns of the four lines from 4 k4 on, where k4 counts through all panels.
fn levels(k4: u32, side: u32, i: u32) -> vec4f {
    if (ENCODING == 0u) {
        return bitcast<vec4f>(w[k4 * 8u + i * 2u + side]);
    }
    if (ENCODING <= 2u) {
        let two = w[k4 * 4u + side * 2u + i / 2u];
        let line = select(two.xy, two.zw, i % 2u == 1u);
        if (ENCODING == 1u) {
            return vec4f(unpack2x16float(line.x), unpack2x16float(line.y));
        }
        return bitcast<vec4f>(vec4u(line.x << 16u, line.x & 0xffff0000u, line.y << 16u, line.y & 0xffff0000u));
    }
    if (ENCODING == 3u) {
        return vec4f(vec4i(vec4u(w[k4 * 2u + side][i]) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
    }
    let line = w[k4][side * 2u + i / 2u] >> (i % 2u * 16u);
    return vec4f(vec4i(vec4u(line) << vec4u(28u, 24u, 20u, 16u)) >> vec4u(28u));
}

// The scales of four columns for the four lines from 4 k4 on.
fn scales(k4: u32, side: u32) -> vec4f {
    if (ENCODING <= 2u) {
        return vec4f(1.0);
    }
    let shape = weight_shape();
    let group = k4 / shape.x * ((shape.x + 7u) / 8u) + k4 % shape.x / 8u;
    return bitcast<vec4f>(w[shape.x * shape.y * (5u - ENCODING) + group * 2u + side]);
}

// One line of the weight, and all four: steps of the reduced axis times columns.
fn weight_line(k4: u32, side: u32, i: u32) -> vec4f {
    if (ENCODING <= 2u) {
        return levels(k4, side, i);
    }
    return levels(k4, side, i) * scales(k4, side);
}

fn weights(k4: u32, side: u32) -> mat4x4f {
    let s = scales(k4, side);
    let b = mat4x4f(levels(k4, side, 0u), levels(k4, side, 1u), levels(k4, side, 2u), levels(k4, side, 3u));
    if (ENCODING <= 2u) {
        return b;
    }
    return mat4x4f(b[0] * s, b[1] * s, b[2] * s, b[3] * s);
}
