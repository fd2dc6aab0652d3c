//! The tensor cores' instruction, of which each width is another text: `wgmma.mma_async`, 64 rows of `width` columns, over 16 elements.

/// A list of `count` things.
fn list(count: usize, thing: impl Fn(usize) -> String) -> String {
    (0..count).map(thing).collect::<Vec<_>>().join(", ")
}

/// Where the left operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// In shared memory; the right operand's columns lie in rows of the summed dimension.
    Shared,
    /// In four registers; the right operand's rows are those of the summed dimension.
    Registers,
}

/// A function `name(sums, left, right, more)` that adds a product to `sums`, or without `more` puts it there. `width` is a multiple of
/// 8 up to 256.
pub(super) fn multiply(name: &str, width: usize, element: &str, left: Left) -> String {
    let sums = width / 2;
    let registers = list(sums, |i| format!("%{i}"));
    let outputs = list(sums, |i| format!("\"+f\"(sums[{i}])"));
    let (parameters, operands, order, inputs, next) = match left {
        Left::Shared => {
            ("u64 left".to_owned(), format!("%{sums}"), "0, 0", "\"l\"(left)".to_owned(), sums + 1)
        }
        Left::Registers => (
            list(4, |i| format!("u32 left_{i}")),
            format!("{{{}}}", list(4, |i| format!("%{}", sums + i))),
            "1",
            list(4, |i| format!("\"r\"(left_{i})")),
            sums + 4,
        ),
    };
    let more = next + 1;
    format!(
        "__device__ __forceinline__ void {name}(float (&sums)[{sums}], {parameters}, u64 right, int more) {{\n    \
         asm volatile(\"{{\\n.reg .pred p;\\nsetp.ne.b32 p, %{more}, 0;\\n\"\n    \
         \"wgmma.mma_async.sync.aligned.m64n{width}k16.f32.{element}.{element} {{{registers}}}, {operands}, %{next}, p, 1, 1, {order};\\n}}\\n\"\n    \
         : {outputs} : {inputs}, \"l\"(right), \"r\"(more));\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_numbered_in_order() {
        let text = multiply("multiply", 8, "f16", Left::Shared);
        assert!(text.contains("float (&sums)[4], u64 left, u64 right, int more"), "{text}");
        assert!(
            text.contains("m64n8k16.f32.f16.f16 {%0, %1, %2, %3}, %4, %5, p, 1, 1, 0, 0;"),
            "{text}"
        );
        assert!(text.contains("setp.ne.b32 p, %6, 0;"), "{text}");

        let text = multiply("multiply", 8, "bf16", Left::Registers);
        assert!(text.contains("{%0, %1, %2, %3}, {%4, %5, %6, %7}, %8, p, 1, 1, 1;"), "{text}");
        assert!(text.contains("setp.ne.b32 p, %9, 0;"), "{text}");
    }
}
