//! The charge for output: what the host writes of a step's rows counts against the step's `limits.output`.
//!
//! Owns the account and its error. An instance has an account of its own, of the rows as it hands them over. Both are
//! held against the same limit, so the larger of the two counts.

use std::io::{self, Write};

use etl_core::model::error::{Error, ErrorKind, Result};
use etl_plugin::Plugin;

/// The account of what is written of the rows that a step emits.
pub struct Charge {
    plugin: String,
    form: String,
    bytes_max: u64,
    bytes_left: u64,
}

impl Charge {
    /// Opens the account of the output of `plugin`, which is written as `form`. It has room for no bytes yet.
    pub fn new(plugin: &Plugin, form: String) -> Self {
        Self { plugin: plugin.name(), form, bytes_max: plugin.limits().output_bytes, bytes_left: 0 }
    }

    /// Makes room for what this many instances may emit, and for no more.
    pub fn renew(&mut self, instances: u64) {
        self.bytes_left = self.bytes_max.saturating_mul(instances);
    }

    /// Charges bytes that were written.
    ///
    /// # Errors
    /// [`ErrorKind::Plugin`], naming the limit, when there is no room for them. A record is not to blame: the same rows
    /// may be few bytes in another format.
    pub fn spend(&mut self, bytes: u64) -> Result<()> {
        let Self { plugin, form, bytes_max, bytes_left } = self;
        let exceeded = || {
            format!(
                "{plugin} exceeded `limits.output` (limit {bytes_max} bytes per attempt): its rows take more {form}"
            )
        };
        let left = bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or_else(|| Error::new(ErrorKind::Plugin, anyhow::anyhow!(exceeded())))?;
        Ok(())
    }
}

/// Output whose bytes are charged.
pub struct Charged<W> {
    /// The output.
    pub out: W,
    /// The account.
    pub charge: Charge,
}

impl<W: Write> Write for Charged<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.charge.spend(taken as u64).map_err(Error::into_io)?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
