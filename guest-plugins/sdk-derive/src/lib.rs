//! `#[derive(Describe)]` of the crate `etl-plugin`, which documents it.

mod attributes;
mod names;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, parse_macro_input};

use self::attributes::{Container, Field, Variant};

/// Makes a configuration describe its fields: see `etl_plugin::Describe`.
#[proc_macro_derive(Describe)]
pub fn describe(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implementation(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn implementation(input: &DeriveInput) -> syn::Result<TokenStream> {
    let container = Container::new(&input.attrs)?;
    let schema = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => object(&container, fields.named.iter())?,
            Fields::Unit => quote! { .text("{\"type\":\"null\"}") },
            Fields::Unnamed(_) => {
                return Err(syn::Error::new_spanned(input, "a tuple has no named fields to describe"));
            }
        },
        Data::Enum(data) if data.variants.iter().all(|variant| variant.fields.is_empty()) => {
            let mut names = Vec::new();
            for variant in &data.variants {
                names.extend(Variant::name(variant, &container)?.map(|name| names::json(&name)));
            }
            let text = format!("{{\"enum\":[{}]}}", names.join(","));
            quote! { .text(#text) }
        }
        // How such a choice is written has too many forms; any value is let through to the step itself.
        Data::Enum(_) => quote! { .text("{}") },
        Data::Union(_) => return Err(syn::Error::new_spanned(input, "a union cannot be read from a configuration")),
    };
    let (name, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        impl #generics ::etl_plugin::Describe for #name #arguments #bounds {
            const SCHEMA: ::etl_plugin::SchemaText = ::etl_plugin::SchemaText::new()#schema;
        }
    })
}

/// Returns the calls that write the schema of an object with these fields.
fn object<'a>(container: &Container, fields: impl Iterator<Item = &'a syn::Field>) -> syn::Result<TokenStream> {
    let mut calls = quote! { .text("{\"type\":\"object\",\"properties\":{") };
    let (mut first, mut required) = (true, quote! {});
    for field in fields {
        let Some(Field { name, description, has_default, opaque }) = Field::new(field, container)? else { continue };
        let (ty, comma) = (&field.ty, if first { "" } else { "," });
        let start = format!("{comma}{}:", names::json(&name));
        let description = description.map(|text| format!("\"description\":{}", names::json(&text))).unwrap_or_default();
        calls.extend(if opaque {
            quote! { .text(#start).text("{").text(#description).text("}") }
        } else {
            quote! { .text(#start).with(&<#ty as ::etl_plugin::Describe>::SCHEMA, #description) }
        });
        if !has_default && !opaque {
            let name = names::json(&name);
            required.extend(quote! { .item(<#ty as ::etl_plugin::Describe>::REQUIRED, #name) });
        }
        first = false;
    }
    Ok(quote! { #calls.text("},\"required\":[")#required.text("],\"additionalProperties\":false}") })
}
