//! Weights in memory as kernels read them: packed once, however many programs of a model there are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use webmamba_kernels::Region;

use super::block::Block;
use crate::{
    error::Result,
    graph::Graph,
    packed::PackedWeight,
    plan, platform,
    program::{Cpu, cpu::Caps},
    tensor::Tensor,
};

/// The weights of a model on processor cores. Programs for other batch or input sizes share it.
#[derive(Debug, Default)]
pub struct WeightStore(Mutex<Vec<Arc<Packed>>>);

/// What was packed for one program and those after it.
#[derive(Debug)]
pub(super) struct Packed {
    /// Those that had to be packed.
    block: Block,
    /// Those that are read where the checkpoint has them.
    kept: Vec<Tensor>,
    /// By [`PackedWeight::key`].
    places: HashMap<String, Region>,
}

// SAFETY: the places are addresses of the block and of the tensors, which nobody writes any more.
unsafe impl Send for Packed {}
// SAFETY: as above.
unsafe impl Sync for Packed {}

impl WeightStore {
    /// Packs those weights of a program that are not there yet, and lets go of the host's copies. With what was packed comes where each
    /// weight is. Weights of a program that is no more, such as tables for another size, go unless this one reads them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) when there is no memory for them;
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) when one has not arrived.
    pub(super) fn pack(&self, weights: &mut [PackedWeight]) -> Result<(Vec<Arc<Packed>>, Vec<Region>)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |packed: &Arc<Packed>| weights.iter().any(|weight| packed.places.contains_key(weight.key()));
        all.retain(|packed| Arc::strong_count(packed) > 1 || used(packed));
        let missing = |weight: &&PackedWeight| !all.iter().any(|packed| packed.places.contains_key(weight.key()));
        let missing: Vec<&PackedWeight> = weights.iter().filter(missing).collect();
        if !missing.is_empty() {
            let packed = Packed::new(&missing)?;
            all.push(Arc::new(packed));
        }
        let place = |weight: &PackedWeight| all.iter().find_map(|packed| packed.places.get(weight.key()).copied());
        let regions = weights.iter().map(|weight| place(weight).unwrap_or(Region::NOTHING)).collect();
        let used = all.iter().filter(|packed| used(packed)).cloned().collect();
        weights.iter_mut().for_each(PackedWeight::forget);
        Ok((used, regions))
    }

    /// Packs the weights of a graph for those that come.
    ///
    /// # Errors
    /// Those of [`plan::lower`]; as for [`CpuExecutor::with_weights`](super::CpuExecutor::with_weights).
    pub(crate) fn warm(&self, graph: &Graph, caps: &Caps) -> Result<()> {
        self.pack(&mut plan::lower::<Cpu>(graph, caps)?.weights).map(|_| ())
    }
}

impl Packed {
    /// Packs with all threads what has to be packed.
    fn new(weights: &[&PackedWeight]) -> Result<Self> {
        let (mut kept, mut starts, mut end) = (Vec::new(), Vec::new(), 0);
        for weight in weights {
            if !weight.ready() {
                // Says which one, and why.
                weight.pack(&mut [])?;
            }
            starts.push(end);
            match weight.as_it_is() {
                Some(tensor) => kept.push(tensor.clone()),
                None => end += weight.len().next_multiple_of(16),
            }
        }
        let block = Block::new(end as u64 * 4, "preparing the weights")?;
        let mut as_they_are = kept.iter();
        let region = |(weight, start): (&&PackedWeight, &usize)| match weight.as_it_is().and_then(|_| as_they_are.next()) {
            // Only ever read: what a step reads is never what it writes.
            Some(tensor) => Region { start: tensor.bytes().as_ptr().cast_mut().cast(), len: weight.len() },
            None => block.region(*start, weight.len()),
        };
        let regions: Vec<Region> = weights.iter().zip(&starts).map(region).collect();
        let (places, failed) = (Places(&regions), Mutex::new(None));
        platform::run_parts(weights.len(), platform::threads(), &|i, _| {
            if weights[i].as_it_is().is_some() {
                return;
            }
            let Region { start, len } = places.get(i);
            // SAFETY: every packed weight has a region of its own, which nobody else looks at yet.
            let packed = weights[i].pack(unsafe { std::slice::from_raw_parts_mut(start, len) });
            weights[i].release();
            if let Err(error) = packed {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let places = weights.iter().map(|weight| weight.key().to_owned()).zip(regions).collect();
        Ok(Self { block, kept, places })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.block.bytes() + self.kept.iter().map(|t| t.bytes().len() as u64).sum::<u64>()
    }
}

/// Regions that threads look up.
struct Places<'a>(&'a [Region]);

// SAFETY: addresses; each thread uses those of its own parts.
unsafe impl Sync for Places<'_> {}

impl Places<'_> {
    fn get(&self, i: usize) -> Region {
        self.0[i]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packed::Packing,
        tensor::{ByteOwner, Bytes, TensorDesc},
    };

    fn transposed(tensor: &Tensor) -> PackedWeight {
        PackedWeight::new("w", vec![Some(tensor.clone())], Packing::Transposed)
    }

    /// Bytes that never come.
    struct Awaited;

    impl ByteOwner for Awaited {
        fn bytes(&self) -> &[u8] {
            &[]
        }

        fn ready(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_has_not_arrived_is_refused_whether_it_is_packed_or_not() -> Result<()> {
        for packing in [Packing::Transposed, Packing::Flat] {
            let tensor = Tensor::new(TensorDesc::f32([2, 3]), Bytes::pending(Awaited, 24))?;
            let weight = PackedWeight::new("w", vec![Some(tensor)], packing);
            let refused = WeightStore::default().pack(&mut [weight]);
            let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("`w` has not arrived"), "{error}");
        }
        Ok(())
    }

    /// The filters of a model, and tables for three sizes of input.
    #[test]
    fn what_programs_share_is_packed_once_and_what_none_reads_goes() -> Result<()> {
        let tensor = |len: usize| Tensor::from_f32([2, len], vec![1.0; 2 * len]);
        let (filters, tables) = (tensor(5)?, [tensor(1)?, tensor(2)?, tensor(3)?]);
        let program = |table: &Tensor| [transposed(&filters), transposed(table)];
        let store = WeightStore::default();
        let (first, places) = store.pack(&mut program(&tables[0]))?;
        let (second, again) = store.pack(&mut program(&tables[1]))?;
        assert_eq!((places[0].start, first.len(), second.len()), (again[0].start, 1, 2));
        assert_eq!((places[1].len, again[1].len), (2, 4));
        drop((first, second));
        let (third, last) = store.pack(&mut program(&tables[2]))?;
        assert_eq!((last[0].start, last[1].len, third.len()), (places[0].start, 6, 2));
        let kept = store.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!(kept, 2, "the second table has gone");
        Ok(())
    }
}
