//! `sd txt2img`.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use sd_core::{
    DiffusionBackend, Latents, LoadOptions, Pipeline, Precision, Request, Run, TextToImage,
    check_writable, parameters, refined_parameters, save_png, sd_nn::checkpoint::SingleFileOptions,
};

use crate::{
    arguments::Txt2img,
    device::{self, Job},
    error::CliError,
    model, refiner,
};

/// Makes the images.
pub(crate) fn run(arguments: &Txt2img) -> Result<(), CliError> {
    device::dispatch(arguments.device, arguments.dtype, Generate(arguments))
}

struct Generate<'a>(&'a Txt2img);

impl Job for Generate<'_> {
    fn run<B: DiffusionBackend>(self, device: B::Device, dtype: Precision) -> Result<(), CliError> {
        let Self(arguments) = self;
        // What can fail at the end is tried at the beginning.
        let outputs = numbered(&arguments.out, arguments.batch);
        outputs.iter().chain(&arguments.save_latents).try_for_each(|path| check_writable(path))?;
        if let Some(path) = arguments.save_latents.as_ref().filter(|path| outputs.contains(path)) {
            let path = path.display();
            return Err(CliError::new(format!("--save-latents and --out would both write {path}")));
        }
        let request = request(arguments)?;
        request.validate()?;

        let options = load_options::<B>(arguments, device, dtype);
        // What the file of the model is said to be, the refiner is not.
        let mut refining = options.clone().single_file(SingleFileOptions::default());
        refining.vae = None;
        refining.text_encoder = None;
        let model = model::find(&arguments.model, &options)?;
        // It is loaded only when the model has done its part, lest both fill the memory.
        let refiner = arguments.xl.refiner.as_deref().map(|name| {
            let path = model::find(name, &refining)?;
            let second = refiner::check::<B>(&path, &refining, &arguments.xl, &request)?;
            Ok::<_, CliError>((path, second))
        });
        let refiner = refiner.transpose()?;

        let mut watch = Stopwatch::start();
        let pipeline = Pipeline::<B>::from_pretrained(&model, &options)?;
        watch.lap("loaded");
        let request = with_size(request, arguments, pipeline.default_size());
        let mut run = steps(&pipeline, (&request).into(), &mut watch)?;
        let output = Output { paths: &outputs, latents: arguments.save_latents.as_deref() };
        let texts = (0..outputs.len()).map(|index| parameters(&pipeline, &request, index));
        let texts: Vec<String> = texts.collect();
        let Some((refiner, second)) = refiner else {
            return output.write(run, &texts, &mut watch);
        };

        let request = arguments.xl.refinement(&request, run.finish_latents()?, second);
        drop((run, pipeline));
        let pipeline = Pipeline::<B>::from_pretrained(refiner, &refining)?;
        watch.lap("loaded the refiner");
        let run = steps(&pipeline, (&request).into(), &mut watch)?;
        let texts = texts.iter().enumerate();
        let texts =
            texts.map(|(index, first)| refined_parameters(first, &pipeline, &request, index));
        output.write(run, &texts.collect::<Vec<_>>(), &mut watch)
    }
}

/// How the model is loaded.
fn load_options<B: DiffusionBackend>(
    arguments: &Txt2img,
    device: B::Device,
    dtype: Precision,
) -> LoadOptions<B> {
    let understood = arguments.single_file.understood();
    let mut options = LoadOptions::default().device(device).dtypes(dtype).single_file(understood);
    options.variant.clone_from(&arguments.variant);
    options.vae.clone_from(&arguments.vae);
    options.text_encoder.clone_from(&arguments.text_encoder);
    options.tokenizer.clone_from(&arguments.single_file.tokenizer);
    options
}

/// Starts a run and makes its steps, which the progress bar shows.
fn steps<B: DiffusionBackend>(
    pipeline: &Pipeline<B>,
    request: Request<'_>,
    watch: &mut Stopwatch,
) -> Result<Run<B>, CliError> {
    let mut run = pipeline.run(request)?;
    watch.lap("encoded");
    let count = run.len();
    let progress = progress_bar(count as u64);
    for step in run.by_ref() {
        let step = step?;
        progress.inc(1);
        if step.index == 0 {
            // The first step prepares weights, and compiles kernels on a GPU.
            watch.lap("first step");
        }
    }
    progress.finish();
    if count > 1 {
        watch.lap("other steps");
    }
    Ok(run)
}

/// Where the results go.
struct Output<'a> {
    /// One file for each image.
    paths: &'a [PathBuf],
    latents: Option<&'a Path>,
}

impl Output<'_> {
    /// Decodes the images of a run whose steps are made, and writes everything with a text for each image.
    fn write<B: DiffusionBackend>(
        &self,
        mut run: Run<B>,
        texts: &[String],
        watch: &mut Stopwatch,
    ) -> Result<(), CliError> {
        if let Some(path) = self.latents {
            run.finish_latents()?.save(path)?;
        }
        let images = run.finish()?;
        watch.lap("decoded");
        for ((image, path), text) in images.iter().zip(self.paths).zip(texts) {
            save_png(image, text, path)?;
            eprintln!("{}", path.display());
        }
        Ok(())
    }
}

/// Times of the stages, for the log (`--verbose`). A GPU may still be busy with the stage before.
struct Stopwatch(Instant);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self, stage: &str) {
        let now = Instant::now();
        tracing::info!("{stage} in {:.3} s", now.duration_since(self.0).as_secs_f64());
        self.0 = now;
    }
}

fn request(arguments: &Txt2img) -> Result<TextToImage, CliError> {
    let mut request = TextToImage::new(&arguments.prompt)
        .negative_prompts(arguments.negative_prompt.iter().cloned().collect())
        .steps(arguments.steps)
        .guidance_scale(arguments.guidance_scale)
        .guidance_rescale(arguments.guidance_rescale)
        .images_per_prompt(arguments.batch)
        .eta(arguments.eta)
        .seed(arguments.seed);
    request.clip_skip = arguments.clip_skip;
    request.scheduler = arguments.scheduler;
    request.generator = arguments.generator;
    if let Some(path) = &arguments.init_latents {
        request.latents = Some(Latents::load(path)?);
    }
    Ok(arguments.xl.apply(request))
}

/// A side that is not given is the model's.
fn with_size(request: TextToImage, arguments: &Txt2img, default: [usize; 2]) -> TextToImage {
    match (arguments.width, arguments.height) {
        (None, None) => request,
        (width, height) => request.size(width.unwrap_or(default[0]), height.unwrap_or(default[1])),
    }
}

/// `out.png`, or `out-0.png`, `out-1.png`, … for several images.
fn numbered(out: &Path, batch: usize) -> Vec<PathBuf> {
    if batch <= 1 {
        return vec![out.to_path_buf()];
    }
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let extension = out.extension().map(|extension| extension.to_string_lossy());
    // A mistyped batch is refused by the request; here it must only not fill the memory.
    (0..batch.min(1024))
        .map(|index| match &extension {
            Some(extension) => out.with_file_name(format!("{stem}-{index}.{extension}")),
            None => out.with_file_name(format!("{stem}-{index}")),
        })
        .collect()
}

fn progress_bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {per_sec} [{elapsed} < {eta}]");
    if let Ok(style) = style {
        bar.set_style(style.with_key(
            "per_sec",
            |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.2} it/s", state.per_sec());
            },
        ));
    }
    // Drawn at once, so that a slow first step is seen to have begun.
    bar.tick();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_are_numbered() {
        assert_eq!(numbered(Path::new("a/out.png"), 1), [PathBuf::from("a/out.png")]);
        let two = numbered(Path::new("a/out.png"), 2);
        assert_eq!(two, [PathBuf::from("a/out-0.png"), PathBuf::from("a/out-1.png")]);
        assert_eq!(numbered(Path::new("x"), 2)[1], PathBuf::from("x-1"));
    }
}
