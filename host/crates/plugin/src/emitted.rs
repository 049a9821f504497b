//! A batch that a guest emits, while it is still in the guest's memory.
//!
//! Owns copying the batch out; [`super::batch`] checks what it means. The runtime checks that the lists lie within the
//! guest's memory and charges them to the limit of one call before the host gets them.

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, WasmList},
};

use super::bindings::etl::plugin::types;

/// The record `batch` of `etl:plugin/types`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Emitted {
    rows: u32,
    columns: WasmList<Column>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Column {
    length: u32,
    validity: Option<WasmList<u8>>,
    buffers: WasmList<WasmList<u8>>,
}

impl Emitted {
    /// Copies the batch out of the guest's memory.
    ///
    /// # Errors
    /// Fails when a column is malformed, or when the guest hands over more than a call may.
    pub(super) fn copy<T: 'static>(&self, store: &mut StoreContextMut<'_, T>) -> wasmtime::Result<types::BatchResult> {
        let columns: Vec<Column> = self.columns.iter(&mut *store)?.collect::<wasmtime::Result<_>>()?;
        let columns = columns.iter().map(|column| column.copy(store)).collect::<wasmtime::Result<_>>()?;
        Ok(types::BatchResult { rows: self.rows, columns })
    }
}

impl Column {
    fn copy<T: 'static>(&self, store: &mut StoreContextMut<'_, T>) -> wasmtime::Result<types::ColumnResult> {
        let buffers: Vec<WasmList<u8>> = self.buffers.iter(&mut *store)?.collect::<wasmtime::Result<_>>()?;
        let buffers = buffers.iter().map(|buffer| buffer.as_le_slice(&*store).to_vec()).collect();
        let validity = self.validity.as_ref().map(|bits| bits.as_le_slice(&*store).to_vec());
        Ok(types::ColumnResult { length: self.length, validity, buffers })
    }
}
