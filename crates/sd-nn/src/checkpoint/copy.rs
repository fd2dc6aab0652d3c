//! Weights from any source into new files, value for value.

use std::borrow::Cow;

use burn::tensor::DType;

use super::{CheckpointError, FileDtype, TensorToSave, WeightSource, source::no_such_tensor};

/// All tensors of a source, to be written as they are: each is read when it is its turn, in the type that it has.
///
/// What a source gives as f32, such as a quantised tensor, is written as that.
///
/// # Errors
/// [`CheckpointError::UnsupportedDtype`] for tensors of a type that cannot be read, [`CheckpointError::NoSuchTensor`] for
/// names of which the source knows nothing.
pub fn tensors_of(source: &dyn WeightSource) -> Result<Vec<TensorToSave<'_>>, CheckpointError> {
    let names = source.names().into_iter();
    names
        .map(|name| {
            let info = source.info(&name).ok_or_else(|| no_such_tensor(source, &name))?;
            let Some(asked) = exact(info.dtype) else {
                let (origin, found) = (source.origin(), info.dtype);
                return Err(CheckpointError::UnsupportedDtype { origin, name, found });
            };
            let read = name.clone();
            Ok(TensorToSave {
                name,
                dtype: info.dtype,
                shape: info.shape,
                bytes: Box::new(move || Ok(Cow::Owned(source.read(&read, asked)?.bytes.to_vec()))),
            })
        })
        .collect()
}

/// What to read a tensor as, so that nothing changes. Integers and booleans keep their type whatever is asked for.
fn exact(dtype: FileDtype) -> Option<DType> {
    Some(match dtype {
        FileDtype::F16 => DType::F16,
        FileDtype::BF16 => DType::BF16,
        FileDtype::F64 => DType::F64,
        FileDtype::F32
        | FileDtype::I64
        | FileDtype::I32
        | FileDtype::I16
        | FileDtype::I8
        | FileDtype::U64
        | FileDtype::U32
        | FileDtype::U16
        | FileDtype::U8
        | FileDtype::BOOL => DType::F32,
        _ => return None,
    })
}
