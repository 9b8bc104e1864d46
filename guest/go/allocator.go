package main

import (
	"runtime"
	"unsafe"
	"weak"
)

// The allocators of a plugin in Go. While the proxy passes values to a plugin, a component must not call an import: its runtime traps.
// Go's collector reads the clock and polls timers when it starts the scheduler and when it ends, so neither may happen in an
// allocator that the proxy calls. wit-component prefers the first two allocators to `cabi_realloc`, which the bindings export.

// allocateForExport allocates parameters of callbacks. The bindings keep them until the callback begins.
//
//go:wasmexport cabi_export_realloc
func allocateForExport(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	thread := acquirem()
	block := cabiRealloc(old, oldSize, align, size)
	releasem(thread)
	collectAfter(size)
	return block
}

// allocateForImport allocates results of hostcalls. The bindings would keep them until the next callback that has parameters in
// memory, which in many plugins never comes.
//
//go:wasmexport cabi_import_realloc
func allocateForImport(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil {
		panic("the proxy moves a block of memory")
	}
	if size == 0 {
		return nil
	}
	thread := acquirem()
	block := make([]uint64, (size+7)/8)
	results.keep(block)
	releasem(thread)
	collectAfter(size)
	return unsafe.Pointer(unsafe.SliceData(block))
}

// generations keeps blocks that nothing in Go refers to until the bindings have read them. Each block outlives at least one
// whole collection.
type generations struct {
	current, previous [][]uint64
	// Refers to nothing once a collection has begun and ended.
	collection weak.Pointer[[4]uint64]
}

var results generations

func (g *generations) keep(block []uint64) {
	// During a collection, looking at what a weak pointer refers to would keep it alive.
	if gcphase == 0 && g.collection.Value() == nil {
		g.collection = weak.Make(new([4]uint64))
		g.previous, g.current = g.current, nil
	}
	g.current = append(g.current, block)
}

// unchecked is the size of the blocks that were allocated since the collector was last given a chance to start.
var unchecked uintptr

const uncheckedLimit = 256 << 10

// collectAfter starts the collector if the heap has reached its goal. A goroutine that holds its thread cannot do so, and small
// allocations of the plugin rarely do.
func collectAfter(size uintptr) {
	unchecked += size
	if unchecked < uncheckedLimit || !isInitialized {
		return
	}
	unchecked = 0
	// With timers, Go polls them when a collection starts. Then the next allocation of the plugin has to start it.
	if !netpollinited() {
		gcStart(gcTrigger{})
	}
}

// gcTrigger is runtime.gcTrigger. Its zero value stands for a heap that has reached its goal.
type gcTrigger struct {
	kind int
	now  int64
	n    uint32
}

//go:linkname gcStart runtime.gcStart
func gcStart(trigger gcTrigger)

// gcphase is 0 unless a collection is running.
//
//go:linkname gcphase runtime.gcphase
var gcphase uint32

//go:linkname netpollinited runtime.netpollinited
func netpollinited() bool

// A goroutine that holds its thread neither starts the collector nor helps it.
//
//go:linkname acquirem runtime.acquirem
func acquirem() unsafe.Pointer

//go:linkname releasem runtime.releasem
func releasem(thread unsafe.Pointer)

//go:linkname cabiRealloc go.bytecodealliance.org/pkg/wit/runtime.cabiRealloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer

// kept is memory that others keep: the proxy's side of an adapted plugin, and the preview 1 adapter in a component. Go's collector
// does not reclaim what is reachable from here.
var kept [][]uint64

// isInitialized tells whether Go's runtime can allocate. The first allocations are asked for while it starts.
var isInitialized = false

//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused uint32)

// The collector also reads the monotonic clock when it starts. With the clock paused the preview 1 adapter answers by itself.
// time.Now still tells the date. The first collection starts goroutines, which it waits for.
func init() {
	pauseClock(1)
	runtime.GC()
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
