//! Images to windows and back: whole rows of pixels are copied.

use crate::{Caps, Io, Kernel, Window, run_of, worthwhile};

impl Kernel for Window {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.images * self.height.div_ceil(self.size), self.size * self.width * self.channels / 4, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let (size, c) = (self.size, self.channels);
        let [down, across] = [self.height.div_ceil(size), self.width.div_ceil(size)];
        // A part is some rows of windows, which no other part reads or writes.
        for band in run_of(self.images * down, self.parts(caps), part) {
            let (image, top) = (band / down, band % down * size);
            for column in 0..across {
                let count = size.min(self.width - column * size);
                for y in 0..size {
                    let window = ((band * across + column) * size + y) * size * c;
                    let exists = top + y < self.height;
                    let pixel = ((image * self.height + top + y) * self.width + column * size) * c;
                    if self.reverse {
                        if exists {
                            // SAFETY: the rows of this band belong to this part.
                            let out = unsafe { io.write(pixel..pixel + count * c) };
                            out.copy_from_slice(&io.read(0)[window..window + count * c]);
                        }
                        continue;
                    }
                    // SAFETY: the windows of this band belong to this part.
                    let out = unsafe { io.write(window..window + size * c) };
                    let copied = if exists { count * c } else { 0 };
                    let (values, padding) = out.split_at_mut(copied);
                    values.copy_from_slice(&io.read(0)[if exists { pixel..pixel + copied } else { 0..0 }]);
                    padding.fill(0.0);
                }
            }
        }
    }
}
