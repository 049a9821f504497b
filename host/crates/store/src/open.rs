//! Opening a store from a URL and `[store_options]`.
//!
//! Owns the known schemes and options, and how patient a client is. The cloud clients take what `[store_options]`
//! leaves out from the environment by themselves: their variables are their own business. Called by `Store` only.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use etl_core::model::error::{Error, ErrorKind, Result, ResultExt};
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    memory::InMemory,
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};
use url::Url;

use super::{answers::CheckedConnector, failure, open_uploads::OpenUploads};

/// Settings of a client unless `[store_options]` says otherwise.
const CLIENT_DEFAULTS: [(ClientConfigKey, &str); 3] = [
    (ClientConfigKey::UserAgent, concat!("etl-host/", env!("CARGO_PKG_VERSION"))),
    (ClientConfigKey::ConnectTimeout, "5s"),
    (ClientConfigKey::Timeout, "60s"),
];

/// Time for which a client retries one request by itself. After that, the task that made the request is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Some of the known options, for messages.
const KNOWN_OPTIONS: [&str; 12] = [
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "virtual_hosted_style_request",
    "skip_signature",
    "allow_http",
    "timeout",
    "account_name",
    "account_key",
    "service_account",
];

/// A store, with the prefix and the directory that a URL names.
pub(super) struct Opened {
    pub(super) client: Client,
    /// Prefix in the store.
    pub(super) prefix: Path,
    /// Directory of the prefix, in a local store.
    pub(super) directory: Option<PathBuf>,
}

/// Opens the store that a URL names.
pub(super) fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Opened> {
    check_options(options)?;
    let url = Url::parse(url).or_kind(ErrorKind::Config, || "not a URL")?;
    if url.scheme() == "memory" {
        let store = memory(url.host_str().unwrap_or_default());
        let prefix = Path::from_url_path(url.path()).or_kind(ErrorKind::Config, || "not a valid prefix")?;
        let multipart = Some(Arc::clone(&store) as Arc<dyn MultipartStore>);
        return Ok(Opened { client: Client { store, multipart, uploads: None }, prefix, directory: None });
    }
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown_scheme(&url))?;
    let directory = (scheme == ObjectStoreScheme::Local).then(|| url.to_file_path().ok()).flatten();
    Ok(Opened { client: client(&scheme, &url, options)?, prefix, directory })
}

/// Builds a cloud client, with settings from `AWS_…`, `AZURE_…` or `GOOGLE_…` and from the options, which count more.
/// The three builders have the same methods but no common trait.
macro_rules! build {
    ($builder:ty, $key:ty, $url:expr, $options:expr) => {{
        let mut builder = <$builder>::from_env().with_url($url.as_str()).with_retry(retries());
        builder = builder.with_http_connector(CheckedConnector);
        for (key, value) in CLIENT_DEFAULTS {
            builder = builder.with_config(<$key>::Client(key), value);
        }
        for (key, value) in $options {
            if let Ok(key) = key.to_ascii_lowercase().parse::<$key>() {
                builder = builder.with_config(key, value);
            }
        }
        builder.build().and_then(|store| {
            let store = Arc::new(store);
            let uploads = OpenUploads::new(Arc::clone(&store) as Arc<dyn Signer>)?;
            let multipart = Some(Arc::clone(&store) as Arc<dyn MultipartStore>);
            Ok(Client { store, multipart, uploads: Some(Arc::new(uploads)) })
        })
    }};
}

/// A store, and what it offers beside the operations of all stores.
pub(super) struct Client {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same store, if it has multipart uploads.
    pub(super) multipart: Option<Arc<dyn MultipartStore>>,
    /// Lists the uploads that are open, if the store may be asked for that.
    pub(super) uploads: Option<Arc<OpenUploads>>,
}

fn client(scheme: &ObjectStoreScheme, url: &Url, options: &BTreeMap<String, String>) -> Result<Client> {
    let built = match scheme {
        ObjectStoreScheme::Local => Ok(Client { store: local(false), multipart: None, uploads: None }),
        ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder, AmazonS3ConfigKey, url, options),
        ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder, GoogleConfigKey, url, options),
        ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder, AzureConfigKey, url, options),
        _ => return Err(unknown_scheme(url)),
    };
    // No server has been asked yet, so any error is in the configuration.
    built.map_err(|error| Error::config(failure::classify(&error)))
}

/// Returns the store of the local disk. With `fsync`, a write returns when the file and the directories that lead to it
/// are on the disk. The file is on the disk before its name is.
pub(super) fn local(fsync: bool) -> Arc<dyn ObjectStore> {
    Arc::new(LocalFileSystem::new().with_fsync(fsync))
}

/// Returns the memory store called `name`. Memory stores live as long as the process, so that the stages of a run, and
/// the tests that look at their work, find the same store by its name alone.
fn memory(name: &str) -> Arc<InMemory> {
    static STORES: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(name.to_owned()).or_default())
}

fn retries() -> RetryConfig {
    let (init_backoff, max_backoff) = (Duration::from_millis(200), Duration::from_secs(5));
    let backoff = BackoffConfig { init_backoff, max_backoff, base: 2.0 };
    RetryConfig { backoff, max_retries: 5, retry_timeout: RETRY_TIMEOUT }
}

fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    let known = |key: &str| {
        key.parse::<AmazonS3ConfigKey>().is_ok()
            || key.parse::<AzureConfigKey>().is_ok()
            || key.parse::<GoogleConfigKey>().is_ok()
    };
    match options.keys().find(|key| !known(&key.to_ascii_lowercase())) {
        None => Ok(()),
        Some(key) => Err(Error::config(format!(
            "unknown store option `{key}` (among those known: `{}`; the rest are the configuration keys of the \
             object_store crate)",
            KNOWN_OPTIONS.join("`, `")
        ))),
    }
}

fn unknown_scheme(url: &Url) -> Error {
    Error::config(format!(
        "no store matches this `{}` URL (known: a path, `file:///PATH`, `memory://NAME/`, `s3://BUCKET/`, \
         `gs://BUCKET/`, `az://CONTAINER/`, `abfss://…`, `https://` for S3, R2 and Azure hosts)",
        url.scheme()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_named_in_messages_are_accepted() {
        let options = KNOWN_OPTIONS.map(|key| (key.to_uppercase(), String::new()));
        check_options(&BTreeMap::from(options)).expect("all known");
    }
}
