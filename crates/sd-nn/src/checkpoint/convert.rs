//! Bytes of a file, or of a tensor, as tensor data of a wanted dtype, and the way back.

use burn::tensor::{BoolStore, DType, Element, TensorData};
use bytemuck::Pod;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;
use safetensors::Dtype;

/// Elements converted at a time: two buffers of them stay in the second-level cache.
const CHUNK: usize = 32 * 1024;

/// Elements that one thread takes at a time: its buffers are little in comparison.
const PIECE: usize = 16 * CHUNK;

/// Elements that all threads work on before the caller hears of it.
const GROUP: usize = 8 * PIECE;

// Files are little-endian, and their bytes are used as they are.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "safetensors files are read on little-endian targets only"
);

/// Why elements cannot be converted; the caller knows the tensor's name and home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// A dtype of the file.
    Source,
    /// The dtype asked for.
    Target,
}

/// Reads elements of a file: floats become `target`, integers and booleans keep their type.
///
/// `bytes` may be unaligned, and its length is that of shape and dtype. `consumed` hears how many bytes have been read
/// so far, so that they can be given back early.
pub(crate) fn decode(
    bytes: &[u8],
    dtype: Dtype,
    shape: &[usize],
    target: DType,
    consumed: &mut dyn FnMut(usize),
) -> Result<TensorData, Unsupported> {
    match dtype {
        Dtype::F16 => decode_float::<f16>(bytes, shape, target, consumed),
        Dtype::BF16 => decode_float::<bf16>(bytes, shape, target, consumed),
        Dtype::F32 => decode_float::<f32>(bytes, shape, target, consumed),
        Dtype::F64 => decode_float::<f64>(bytes, shape, target, consumed),
        Dtype::I64 => Ok(same::<i64>(bytes, shape, consumed)),
        Dtype::I32 => Ok(same::<i32>(bytes, shape, consumed)),
        Dtype::I16 => Ok(same::<i16>(bytes, shape, consumed)),
        Dtype::I8 => Ok(same::<i8>(bytes, shape, consumed)),
        Dtype::U64 => Ok(same::<u64>(bytes, shape, consumed)),
        Dtype::U32 => Ok(same::<u32>(bytes, shape, consumed)),
        Dtype::U16 => Ok(same::<u16>(bytes, shape, consumed)),
        Dtype::U8 => Ok(same::<u8>(bytes, shape, consumed)),
        Dtype::BOOL => {
            let values: Vec<bool> = bytes.iter().map(|&byte| byte != 0).collect();
            consumed(bytes.len());
            Ok(TensorData::new(values, shape.to_vec()))
        }
        _ => Err(Unsupported::Source),
    }
}

/// The dtype under which a file keeps tensor data, unless it has none for it.
pub(crate) fn file_dtype(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 | DType::Flex32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool(BoolStore::Native | BoolStore::U8) => Dtype::BOOL,
        DType::Bool(BoolStore::U32) | DType::QFloat(_) => return None,
    })
}

/// A float that files hold. `f32` is the middle of every conversion, as it is in PyTorch.
trait FileFloat: Pod + Element + Send + Sync {
    fn widen(values: &[Self], out: &mut [f32]);
    fn narrow(values: &[f32], out: &mut [Self]);
}

impl FileFloat for f16 {
    fn widen(values: &[Self], out: &mut [f32]) {
        values.convert_to_f32_slice(out);
    }
    fn narrow(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }
}

impl FileFloat for bf16 {
    fn widen(values: &[Self], out: &mut [f32]) {
        values.convert_to_f32_slice(out);
    }
    fn narrow(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }
}

impl FileFloat for f32 {
    fn widen(values: &[Self], out: &mut [f32]) {
        out.copy_from_slice(values);
    }
    fn narrow(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }
}

impl FileFloat for f64 {
    fn widen(values: &[Self], out: &mut [f32]) {
        values.iter().zip(out).for_each(|(value, out)| *out = *value as f32);
    }
    fn narrow(values: &[f32], out: &mut [Self]) {
        values.iter().zip(out).for_each(|(value, out)| *out = f64::from(*value));
    }
}

fn decode_float<S: FileFloat>(
    bytes: &[u8],
    shape: &[usize],
    target: DType,
    consumed: &mut dyn FnMut(usize),
) -> Result<TensorData, Unsupported> {
    if S::dtype() == target {
        return Ok(same::<S>(bytes, shape, consumed));
    }
    match target {
        DType::F16 => Ok(cast::<S, f16>(bytes, shape, consumed)),
        DType::BF16 => Ok(cast::<S, bf16>(bytes, shape, consumed)),
        DType::F32 => Ok(cast::<S, f32>(bytes, shape, consumed)),
        DType::F64 => Ok(cast::<S, f64>(bytes, shape, consumed)),
        _ => Err(Unsupported::Target),
    }
}

/// Elements of one type, copied to where they are aligned.
fn same<E: Pod + Element + Send>(
    bytes: &[u8],
    shape: &[usize],
    consumed: &mut dyn FnMut(usize),
) -> TensorData {
    convert::<E, E>(bytes, shape, consumed, |from, to| {
        bytemuck::cast_slice_mut::<E, u8>(to).copy_from_slice(from);
    })
}

fn cast<S: FileFloat, T: FileFloat>(
    bytes: &[u8],
    shape: &[usize],
    consumed: &mut dyn FnMut(usize),
) -> TensorData {
    convert::<S, T>(bytes, shape, consumed, |from, to| {
        let mut aligned = vec![S::zeroed(); CHUNK.min(to.len())];
        let mut wide = vec![0f32; CHUNK.min(to.len())];
        for (from, to) in from.chunks(CHUNK * size_of::<S>()).zip(to.chunks_mut(CHUNK)) {
            let (aligned, wide) = (&mut aligned[..to.len()], &mut wide[..to.len()]);
            bytemuck::cast_slice_mut::<S, u8>(aligned).copy_from_slice(from);
            S::widen(aligned, wide);
            T::narrow(wide, to);
        }
    })
}

/// Makes elements `T` of the bytes of elements `S`, piece by piece on all threads.
fn convert<S, T: Pod + Element + Send>(
    bytes: &[u8],
    shape: &[usize],
    consumed: &mut dyn FnMut(usize),
    piece: impl Fn(&[u8], &mut [T]) + Sync,
) -> TensorData {
    let size = size_of::<S>();
    // Not touched here: most of the time goes into the first use of memory, which threads share.
    let mut values = bytemuck::zeroed_vec::<T>(bytes.len() / size);
    let mut done = 0;
    for (from, to) in bytes.chunks(GROUP * size).zip(values.chunks_mut(GROUP)) {
        from.par_chunks(PIECE * size)
            .zip(to.par_chunks_mut(PIECE))
            .for_each(|(from, to)| piece(from, to));
        done += from.len();
        consumed(done);
    }
    TensorData::new(values, shape.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [f32; 8] = [0.0, -0.0, 1.0, -2.5, 65504.0, 1e-7, f32::INFINITY, 0.333_333_34];

    fn decode_all(bytes: &[u8], dtype: Dtype, target: DType) -> TensorData {
        decode(bytes, dtype, &[8], target, &mut |_| {}).unwrap()
    }

    #[test]
    fn floats_become_any_float_as_scalar_casts_do() {
        let halves: Vec<f16> = FLOATS.iter().map(|&x| f16::from_f32(x)).collect();
        let brains: Vec<bf16> = FLOATS.iter().map(|&x| bf16::from_f32(x)).collect();
        let doubles: Vec<f64> = FLOATS.iter().map(|&x| f64::from(x)).collect();
        let as_half = |data: TensorData| data.to_vec::<f16>().unwrap();
        let as_brain = |data: TensorData| data.to_vec::<bf16>().unwrap();

        let f32s: &[u8] = bytemuck::cast_slice(&FLOATS);
        assert_eq!(as_half(decode_all(f32s, Dtype::F32, DType::F16)), halves);
        assert_eq!(as_brain(decode_all(f32s, Dtype::F32, DType::BF16)), brains);
        assert_eq!(decode_all(f32s, Dtype::F32, DType::F64).to_vec::<f64>().unwrap(), doubles);
        assert_eq!(decode_all(f32s, Dtype::F32, DType::F32).to_vec::<f32>().unwrap(), FLOATS);

        let f64s: &[u8] = bytemuck::cast_slice(&doubles);
        assert_eq!(as_half(decode_all(f64s, Dtype::F64, DType::F16)), halves);
        assert_eq!(decode_all(f64s, Dtype::F64, DType::F32).to_vec::<f32>().unwrap(), FLOATS);

        let expected: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
        let f16s: &[u8] = bytemuck::cast_slice(&halves);
        assert_eq!(decode_all(f16s, Dtype::F16, DType::F32).to_vec::<f32>().unwrap(), expected);
        let expected: Vec<bf16> = halves.iter().map(|x| bf16::from_f32(x.to_f32())).collect();
        assert_eq!(as_brain(decode_all(f16s, Dtype::F16, DType::BF16)), expected);
        let expected: Vec<f64> = brains.iter().map(|x| x.to_f64()).collect();
        let bf16s: &[u8] = bytemuck::cast_slice(&brains);
        assert_eq!(decode_all(bf16s, Dtype::BF16, DType::F64).to_vec::<f64>().unwrap(), expected);
    }

    #[test]
    fn long_unaligned_input_is_converted_in_groups_that_are_told() {
        let count = 2 * GROUP + PIECE + CHUNK + 17;
        let values: Vec<f16> = (0..count).map(|i| f16::from_f32((i % 2048) as f32)).collect();
        let mut bytes = vec![0xAB];
        bytes.extend_from_slice(bytemuck::cast_slice(&values));
        let mut told = Vec::new();
        let data =
            decode(&bytes[1..], Dtype::F16, &[count], DType::F32, &mut |done| told.push(done))
                .unwrap();
        let expected: Vec<f32> = values.iter().map(|x| x.to_f32()).collect();
        assert_eq!(data.to_vec::<f32>().unwrap(), expected);
        assert_eq!(told, [2 * GROUP, 4 * GROUP, 2 * count]);
        let data = decode(&bytes[1..], Dtype::F16, &[count], DType::F16, &mut |_| {}).unwrap();
        assert_eq!(data.to_vec::<f16>().unwrap(), values);
    }

    #[test]
    fn integers_and_booleans_are_kept() {
        let ids: [i64; 3] = [i64::MIN, -1, 49407];
        let data =
            decode(bytemuck::cast_slice(&ids), Dtype::I64, &[3], DType::F16, &mut |_| {}).unwrap();
        assert_eq!(data.to_vec::<i64>().unwrap(), ids);
        let data = decode(&[0, 1, 7], Dtype::BOOL, &[3], DType::F16, &mut |_| {}).unwrap();
        assert_eq!(data.to_vec::<bool>().unwrap(), [false, true, true]);
    }

    #[test]
    fn dtypes_outside_the_table_are_refused() {
        let refused =
            |dtype, target| decode(&[0; 8], dtype, &[1], target, &mut |_| {}).unwrap_err();
        assert_eq!(refused(Dtype::C64, DType::F32), Unsupported::Source);
        assert_eq!(refused(Dtype::F64, DType::I32), Unsupported::Target);
    }

    #[test]
    fn empty_and_scalar_shapes() {
        let empty = decode(&[], Dtype::F16, &[0, 7], DType::F32, &mut |_| {}).unwrap();
        assert_eq!(empty.shape.as_slice(), [0, 7]);
        let scalar = decode(&[0, 0x3C], Dtype::F16, &[], DType::F32, &mut |_| {}).unwrap();
        assert_eq!(
            (scalar.shape.as_slice(), scalar.to_vec::<f32>().unwrap()),
            (&[][..], vec![1.0])
        );
    }
}
