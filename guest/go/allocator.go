package main

import "unsafe"

// Memory that others keep: the proxy's side of an adapted plugin, and the preview 1 adapter in a component. Go's collector
// does not reclaim what is reachable from here.
var kept [][]uint64

// isInitialized tells whether Go's runtime can allocate. The first allocations are asked for while it starts.
var isInitialized = false

//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused uint32)

// Go's runtime reads the monotonic clock whenever it schedules, also within an allocation that the proxy asks for, when a
// component may not call out: a component runtime traps then. With the clock paused the preview 1 adapter answers by itself.
// time.Now still tells the date.
func init() {
	pauseClock(1)
	isInitialized = true
}

//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

// keep is an allocator whose memory is never reclaimed. `tidegate adapt` requires it of Go: what `cabi_realloc` returns
// belongs to the collector once the call is over.
//
//go:wasmexport cabi_realloc_adapter
func keep(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if !isInitialized {
		return sbrk(size)
	}
	block := make([]uint64, (size+7)/8)
	kept = append(kept, block)
	return unsafe.Pointer(unsafe.SliceData(block))
}
