// y = (act(acc + bias) * scale + residual) * gate, four channels at a time.
// Needs the constants ACT, BIAS, SCALE, RESIDUAL, GATE and the bindings `vectors` (2, N), `residual`, `gate` (like the output).
#import shared/activation

// `column4`: channel / 4 within `vectors`, whose rows have `columns4` elements; `at`: index into the output; `c4`: channel / 4 within
// the output, whose rows have `channels`.
fn epilogue(acc: vec4f, column4: u32, columns4: u32, at: u32, c4: u32, channels: u32) -> vec4f {
    var y = acc;
    if (BIAS == 1u) {
        y += vectors[column4];
    }
    y = activate_channels(ACT, y, c4, channels);
    if (SCALE == 1u) {
        y *= vectors[columns4 + column4];
    }
    if (RESIDUAL == 1u) {
        y += residual[at];
    }
    if (GATE == 1u) {
        y *= gate[at];
    }
    return y;
}
