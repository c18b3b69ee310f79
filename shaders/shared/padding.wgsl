// Channels 4 * c4.. of a row of `channels`, with zeros instead of those past the last one.
fn unpadded(v: vec4f, c4: u32, channels: u32) -> vec4f {
    return select(vec4f(0.0), v, vec4u(c4 * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(channels));
}
