//! Requests, redirects, and what refusals mean.

use std::time::Duration;

use ureq::{
    Agent, Body,
    http::{HeaderMap, Request, Response},
};

use super::{
    HubError, HubOptions, Server,
    error::Token,
    remote::Remote,
    url::{is_laid_open, is_same_origin, joined, shown},
};

/// More redirects than these are a loop.
const REDIRECTS: usize = 8;

/// A list of files is made when it is asked for.
const ANSWER: Duration = Duration::from_secs(30);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// What the Hub says of a file; where the file is does not matter.
    Head,
    /// The content, from a position on.
    Get { from: u64 },
}

/// Connections to the Hub.
pub(super) fn agent(options: &HubOptions) -> Agent {
    let timeout = options.waiting();
    Agent::config_builder()
        .user_agent(concat!("sd-core/", env!("CARGO_PKG_VERSION")))
        .proxy(options.proxy.clone())
        // They say what is in the cache, and no token may go with them to other servers.
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_resolve(Some(timeout))
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout.max(ANSWER)))
        .timeout_per_read(Some(timeout))
        .timeout_per_write(Some(timeout))
        .build()
        .into()
}

impl Remote<'_> {
    /// Sends a request, and goes where it is sent. The address that answered stands before the answer.
    pub(super) fn ask(
        &self,
        asked: Asked,
        mut url: String,
    ) -> Result<(String, Response<Body>), HubError> {
        let endpoint = &self.options.endpoint;
        for _ in 0..=REDIRECTS {
            let response = self.send(asked, &url)?;
            let location = header(response.headers(), "location");
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                return Ok((url, response));
            };
            let next = joined(&url, location);
            // A redirect that says what the file is says so for the Hub, wherever it leads.
            let is_told = header(response.headers(), "x-linked-etag").is_some();
            if asked == Asked::Head && (is_told || !is_same_origin(&next, endpoint)) {
                return Ok((url, response));
            }
            if is_laid_open(endpoint, &next) {
                return Err(answer(&url, "a redirect from https to what is not"));
            }
            url = next;
        }
        Err(answer(&url, "one redirect after the other"))
    }

    fn send(&self, asked: Asked, url: &str) -> Result<Response<Body>, HubError> {
        let method = if asked == Asked::Head { "HEAD" } else { "GET" };
        // Sizes and ranges are those of the file, not of what it is packed into on the way.
        let mut request =
            Request::builder().method(method).uri(url).header("accept-encoding", "identity");
        if let Some(token) = &self.options.token
            && is_same_origin(url, &self.options.endpoint)
        {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Asked::Get { from: from @ 1.. } = asked {
            request = request.header("range", format!("bytes={from}-"));
        }
        let request = request.body(()).map_err(|error| failed(url, error.into()))?;
        self.agent.run(request).map_err(|error| failed(url, error))
    }

    /// What a status that is no success means; `file` is what was asked for, if it was one.
    pub(super) fn refusal(
        &self,
        url: &str,
        response: &Response<Body>,
        file: Option<&str>,
    ) -> HubError {
        let status = response.status().as_u16();
        let other = |server| HubError::Status { url: shown(url), status, server };
        // What other servers refuse says nothing of the model.
        if !is_same_origin(url, &self.options.endpoint) {
            return other(Server::Other);
        }
        let token = if self.options.token.is_some() { Token::Sent } else { Token::None };
        let (endpoint, repository) =
            (shown(&self.options.endpoint), self.model.repository().to_owned());
        let revision = self.model.revision().to_owned();
        match (status, header(response.headers(), "x-error-code"), file) {
            (401 | 403, Some("GatedRepo"), _) => HubError::Gated { endpoint, repository, token },
            (_, Some("RevisionNotFound"), _) => HubError::NoRevision { repository, revision },
            (_, Some("EntryNotFound"), Some(file)) | (404, None, Some(file)) => HubError::NoFile {
                repository,
                revision,
                file: file.to_owned(),
                weights: Vec::new(),
            },
            (404, ..) | (_, Some("RepoNotFound"), _) => {
                HubError::NoRepository { endpoint, repository, token }
            }
            // To those that it does not know, the Hub does not say which names there are.
            (401, ..) if token == Token::None => {
                HubError::NoRepository { endpoint, repository, token }
            }
            (401 | 403, ..) => HubError::Denied { endpoint, repository, status, token },
            _ => other(Server::Hub),
        }
    }
}

/// An answer that is none of the Hub's.
pub(super) fn answer(url: &str, problem: impl Into<String>) -> HubError {
    HubError::Answer { url: shown(url), problem: problem.into() }
}

/// Why there is no answer.
pub(super) fn failed(url: &str, error: ureq::Error) -> HubError {
    let request = |problem: String| HubError::Request { url: shown(url), problem };
    match error {
        // It has the whole address in its text.
        ureq::Error::BadUri(_) => request("it is no address of a server".to_owned()),
        ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => request(error.to_string()),
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            answer(url, error.to_string())
        }
        error => HubError::Unreachable { url: shown(url), source: Box::new(error) },
    }
}

pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn error_of(options: &HubOptions) -> HubError {
        let (agent, model) = (agent(options), "a/b".parse().unwrap());
        Remote { agent: &agent, options, model: &model }.listing().unwrap_err()
    }

    #[test]
    fn what_makes_no_request_is_no_outage() {
        let options = |endpoint| HubOptions::new("c").endpoint(endpoint);
        for options in [
            options("nonsense"),
            options("ftp://127.0.0.1:1"),
            options("http://a b"),
            options("http://127.0.0.1:1").token("line\nbreak"),
        ] {
            let error = error_of(&options);
            assert!(matches!(error, HubError::Request { .. }) && !error.is_outage(), "{error:?}");
        }
        let error = error_of(&options("http://ada:word@127.0.0.1:1"));
        assert!(error.is_outage() && !error.to_string().contains("word"), "{error}");
    }

    #[test]
    fn a_proxy_of_socks_is_not_passed_by() {
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        hub.set_nonblocking(true).unwrap();
        let mut options = HubOptions::new("c");
        options.endpoint = format!("http://{}", hub.local_addr().unwrap());
        options.proxy = ureq::Proxy::new("socks5://127.0.0.1:1").ok();
        assert!(options.proxy.is_some() && error_of(&options).is_outage());
        assert!(hub.accept().is_err(), "nobody came");
    }
}
