"""Parallel merge sort: halves are sorted by goroutines of their own, down to a size that is not worth one."""

from gopy import Chan, go


def numbers(n: int) -> list[int]:
    """The same n numbers each time, which look random."""
    items = [0] * n
    state = 2026
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF  # a uint32 wraps around, an int does not
        items[i] = state >> 8
    return items


def merge(left: list[int], right: list[int]) -> list[int]:
    merged = []
    i, j = 0, 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    merged += left[i:]
    return merged + right[j:]


def merge_sort(items: list[int], depth: int) -> list[int]:
    """Split the work between two goroutines, this one and another, as long as depth is left."""
    if len(items) < 2:
        return items
    middle = len(items) // 2
    if depth == 0:
        return merge(merge_sort(items[:middle], 0), merge_sort(items[middle:], 0))
    left: Chan[list[int]] = Chan(1)
    go(lambda: left.send(merge_sort(items[:middle], depth - 1)))
    right = merge_sort(items[middle:], depth - 1)
    return merge(left.recv(), right)


def main() -> None:
    items = numbers(10_000)
    before = after = 0
    for number in items:
        before += number

    in_order = True
    ordered = merge_sort(items, 4)
    for i, number in enumerate(ordered):
        after += number
        if i > 0 and ordered[i - 1] > number:
            in_order = False
    print("first:", items[0], items[1], items[2])
    print("smallest:", ordered[0], ordered[1], ordered[2])
    print("largest:", ordered[-1])
    if in_order and len(ordered) == len(items) and before == after:
        print(len(ordered), "numbers in order, none lost")


if __name__ == "__main__":
    main()
