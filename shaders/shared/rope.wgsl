// Needs the bindings `rows` (H, C / 2) and `columns` (W, C / 2) of interleaved cos and sin.

// Rotates two pairs of channels: the first half of the pairs by the token's row, the second by its column.
fn rotate(v: vec4f, token: u32, c4: u32, width: u32, channels4: u32, table4: u32) -> vec4f {
    // A table row holds C / 4 pairs, that is C / 8 vec4s: with C = 4 (mod 8) the halves meet inside a vec4.
    return vec4f(rotate_pair(v.xy, token, c4 * 2u, width, channels4, table4), rotate_pair(v.zw, token, c4 * 2u + 1u, width, channels4, table4));
}

fn rotate_pair(v: vec2f, token: u32, pair: u32, width: u32, channels4: u32, table4: u32) -> vec2f {
    var angle: vec4f;
    var k = pair;
    if (pair < channels4) {
        angle = rows[token / width * table4 + k / 2u];
    } else {
        k = pair - channels4;
        angle = columns[token % width * table4 + k / 2u];
    }
    let cs = select(angle.zw, angle.xy, k % 2u == 0u);
    return vec2f(v.x * cs.x - v.y * cs.y, v.x * cs.y + v.y * cs.x);
}
