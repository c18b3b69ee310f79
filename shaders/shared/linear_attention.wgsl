struct Params {
    images: u32,
    tokens: u32,
    heads: u32,
    channels4: u32, // of v
    keys4: u32, // channels of q, and of k
    width: u32,
    table4: u32,
    splits: u32,
    split_tokens: u32,
}

const KEY4 = KEY_DIM / 4u;
const HEAD4 = HEAD_DIM / 4u;
// kv of a head (KEY_DIM, HEAD_DIM), then the mean of k (KEY_DIM), in vec4s
const BLOCK4 = KEY_DIM * HEAD4 + KEY4;

#import shared/rope

// Channels 4 * c4.. of q (part 0) or k (part 1) after the rotation; `at` is where they stand in qk.
fn rotated_at(at: u32, token: u32, c4: u32) -> vec4f {
    if (ROPE == 1u) {
        return rotate(qk[at], token, c4, params.width, params.keys4, params.table4);
    }
    return rotated[at];
}
