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
    values: Values,
    validity: Option<WasmList<u8>>,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Values {
    #[component(name = "boolean")]
    Boolean(WasmList<u8>),
    #[component(name = "int64")]
    Int64(WasmList<i64>),
    #[component(name = "float64")]
    Float64(WasmList<f64>),
    #[component(name = "text")]
    Text(Variable),
    #[component(name = "binary")]
    Binary(Variable),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Variable {
    offsets: WasmList<u32>,
    bytes: WasmList<u8>,
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
        let values = match &self.values {
            Values::Boolean(bits) => types::ValuesResult::Boolean(bits.as_le_slice(&*store).to_vec()),
            Values::Int64(values) => types::ValuesResult::Int64(values.as_le_slice(&*store).to_vec()),
            Values::Float64(values) => {
                types::ValuesResult::Float64(values.iter(&mut *store)?.collect::<wasmtime::Result<_>>()?)
            }
            Values::Text(values) => types::ValuesResult::Text(values.copy(store)),
            Values::Binary(values) => types::ValuesResult::Binary(values.copy(store)),
        };
        let validity = self.validity.as_ref().map(|bits| bits.as_le_slice(&*store).to_vec());
        Ok(types::ColumnResult { values, validity })
    }
}

impl Variable {
    fn copy<T: 'static>(&self, store: &StoreContextMut<'_, T>) -> types::VariableResult {
        let (offsets, bytes) = (self.offsets.as_le_slice(store), self.bytes.as_le_slice(store));
        types::VariableResult { offsets: offsets.to_vec(), bytes: bytes.to_vec() }
    }
}
