//! Models of a Hub that runs on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{command, copy, fixture, hub_server::HubServer, refusal, txt2img};

const MODEL: &str = "ada/tiny";

/// `sd txt2img` in a directory, with a Hub and a cache.
struct Setting {
    endpoint: String,
    scratch: TempDir,
}

impl Setting {
    fn new(server: &HubServer) -> Self {
        Self { endpoint: server.endpoint.clone(), scratch: TempDir::new().unwrap() }
    }

    fn out(&self) -> PathBuf {
        self.scratch.path().join("out.png")
    }

    fn run(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> Output {
        let mut command = command(&["txt2img", "--prompt", "a lighthouse", "--device", "cpu"]);
        command.args(["--steps", "2", "--out", self.out().to_str().unwrap()]);
        command.current_dir(self.scratch.path()).env("HF_HOME", self.scratch.path().join("hf"));
        command.env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", &self.endpoint);
        change(&mut command).output().unwrap()
    }

    /// The picture that was made.
    fn picture(&self, output: &Output) -> Vec<u8> {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let picture = fs::read(self.out()).unwrap();
        fs::remove_file(self.out()).unwrap();
        picture
    }
}

fn expected(model: &Path, setting: &Setting) -> Vec<u8> {
    let output = txt2img(model, &["--out", setting.out().to_str().unwrap()]);
    setting.picture(&output)
}

#[test]
fn a_name_of_the_hub_is_a_model() {
    let server = HubServer::of(MODEL, &fixture("tiny-sd1"));
    let setting = Setting::new(&server);
    let picture = expected(&fixture("tiny-sd1"), &setting);
    let output = setting.run(|command| command.args(["--model", MODEL]));
    assert!(setting.picture(&output) == picture);
    assert!(setting.scratch.path().join("hf/hub/models--ada--tiny/refs/main").is_file());

    // Without the Hub, the cache has it.
    server.requests();
    let offline = |name: &'static str| {
        setting.run(|command| command.args(["--model", name]).env("HF_HUB_OFFLINE", "1"))
    };
    assert!(setting.picture(&offline(MODEL)) == picture);
    let message = refusal(&offline("ada/other"));
    assert!(message.contains("ada/other: no such directory or file; at the Hub: "), "{message}");
    assert!(message.contains("offline mode"), "{message}");
    assert!(server.requests().is_empty());
    let message = refusal(&setting.run(|command| command.args(["--model", "ada/other"])));
    assert!(message.contains("has no model ada/other"), "{message}");
}

#[test]
fn a_path_that_exists_comes_first() {
    let server = HubServer::of(MODEL, &fixture("tiny-sd1"));
    let setting = Setting::new(&server);
    copy(&fixture("tiny-sd2"), &setting.scratch.path().join(MODEL));
    let picture = expected(&fixture("tiny-sd2"), &setting);
    let output = setting.run(|command| command.args(["--model", MODEL]));
    assert!(setting.picture(&output) == picture);
    assert!(server.requests().is_empty());
}
