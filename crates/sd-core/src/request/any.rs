//! Requests of all kinds.

use super::{DepthToImage, ImageToImage, RequestError, TextToImage, Upscale};

/// Any request that a pipeline can run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Pictures from text.
    Text(&'a TextToImage),
    /// Pictures from pictures.
    Image(&'a ImageToImage),
    /// Pictures from pictures and how far away things are in them.
    Depth(&'a DepthToImage),
    /// Larger pictures.
    Upscale(&'a Upscale),
}

macro_rules! requests {
    ($($kind:ident($request:ident)),+) => {$(
        impl<'a> From<&'a $request> for Request<'a> {
            fn from(request: &'a $request) -> Self {
                Self::$kind(request)
            }
        }
    )+};
}

requests!(Text(TextToImage), Image(ImageToImage), Depth(DepthToImage), Upscale(Upscale));

impl<'a> Request<'a> {
    /// What all requests have.
    pub fn text(self) -> &'a TextToImage {
        match self {
            Self::Text(text) => text,
            Self::Image(image) => &image.text,
            Self::Depth(depth) => &depth.image.text,
            Self::Upscale(upscale) => &upscale.text,
        }
    }

    /// What it starts from, if that is not noise alone.
    pub(crate) fn image(self) -> Option<&'a ImageToImage> {
        match self {
            Self::Text(_) | Self::Upscale(_) => None,
            Self::Image(image) => Some(image),
            Self::Depth(depth) => Some(&depth.image),
        }
    }

    /// Channels that it gives beside the latents.
    pub(crate) fn extra_channels(self) -> usize {
        match self {
            Self::Text(_) | Self::Image(_) => 0,
            Self::Depth(_) => 1,
            Self::Upscale(_) => 3,
        }
    }

    pub(crate) fn validate(self) -> Result<(), RequestError> {
        match self {
            Self::Text(text) => text.validate(),
            Self::Image(image) => image.validate(),
            Self::Depth(depth) => depth.validate(),
            Self::Upscale(upscale) => upscale.validate(),
        }
    }

    /// Width and height in pixels for a model of this default and factor.
    ///
    /// # Errors
    /// When a side is 0, too long or no multiple of the factor, or it is another than the source makes.
    pub(crate) fn size(
        self,
        default: [usize; 2],
        factor: usize,
    ) -> Result<[usize; 2], RequestError> {
        let source = match self {
            Self::Text(text) => return text.checked_size(default, factor),
            Self::Image(image) => image.source.size(factor)?,
            Self::Depth(depth) => depth.image.source.size(factor)?,
            Self::Upscale(upscale) => upscale.size(factor)?,
        };
        match self.text().checked_size(source, factor)? {
            size if size == source => Ok(size),
            found => Err(RequestError::SourceSize { expected: source, found }),
        }
    }
}
