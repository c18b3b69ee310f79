//! The evaluation transform as tables of integers, for a device that resizes images itself.

use super::{Filter, Preprocess, bilinear, preprocess::Window, resize::Axis};
use crate::error::{Error, Result};

/// What a device needs to do [`Preprocess::apply`] for images of one size, bit for bit.
#[derive(Debug, Clone, PartialEq)]
pub struct ResizeTables {
    /// Vertical: rows of the image to rows of the target.
    pub rows: AxisTable,
    /// Horizontal: columns of the image to columns of the target.
    pub columns: AxisTable,
    /// The 8-bit colour where the image does not fill the target.
    pub fill: [u8; 3],
}

/// One axis of a resize.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisTable {
    /// Positions that are made from the image.
    pub len: usize,
    /// Where the first of them lies in the target.
    pub target: usize,
    /// First position of the image that is read.
    pub source: usize,
    /// How many positions of the image are read.
    pub source_len: usize,
    /// Three numbers a position (first position of the image that it reads, how many, and where in this table their weights
    /// start), then all weights, with 22 fractional bits.
    pub taps: Vec<i32>,
}

impl Preprocess {
    /// Tables for images of `width` x `height` pixels that are resized by the bicubic filter.
    ///
    /// # Errors
    /// Those of [`Preprocess::plan`]; [`Error::InvalidArgument`] for another filter than the bicubic one.
    pub fn tables(&self, width: u32, height: u32) -> Result<ResizeTables> {
        if self.filter != Filter::Bicubic {
            return Err(Error::InvalidArgument("these tables are for bicubic interpolation".into()));
        }
        let plan = self.plan(width, height)?;
        let image = [height as usize, width as usize];
        let [rows, columns] = [0, 1].map(|axis| {
            let window = Window::new(plan.resized[axis], plan.crop[axis], self.size[axis]);
            let resize = Axis::new(image[axis], plan.resized[axis], window.source..window.source + window.len);
            let source = resize.source();
            AxisTable {
                len: window.len,
                target: window.target,
                source: source.start,
                source_len: source.len(),
                taps: resize.table(),
            }
        });
        Ok(ResizeTables { rows, columns, fill: self.fill() })
    }

    /// Tables of rows and columns for images of `width` x `height` pixels that are resized by the bilinear filter: four numbers a position
    /// of the target, the two of the image that it lies between and their weights, with 11 fractional bits.
    ///
    /// # Errors
    /// Those of [`Preprocess::plan`]; [`Error::InvalidArgument`] where the image does not fill the target.
    pub fn bilinear_tables(&self, width: u32, height: u32) -> Result<[Vec<i32>; 2]> {
        let plan = self.plan(width, height)?;
        let [rows, columns] = [0, 1].map(|axis| Window::new(plan.resized[axis], plan.crop[axis], self.size[axis]));
        if [rows.len, columns.len] != self.size {
            return Err(Error::InvalidArgument("devices do not pad images that they resize by the bilinear filter".into()));
        }
        let [rows, columns] = [rows, columns].map(|window| window.source..window.source + window.len);
        Ok([
            bilinear::table(height as usize, plan.resized[0], rows, false),
            bilinear::table(width as usize, plan.resized[1], columns, true),
        ])
    }
}
