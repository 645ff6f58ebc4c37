// SPDX-License-Identifier: MIT

// A Go program that runs pipelines by cgo: two, one after the other, on goroutines. Its runtime handles every signal
// but one, and ends the process without exit handlers, with status 3.
//
// Context: tests.
package main

/*
#cgo pkg-config: gstreamer-1.0
#include <gst/gst.h>
#include <stdlib.h>

static int
play (const char *text)
{
  GstElement *pipeline = gst_parse_launch (text, NULL);
  if (pipeline == NULL)
    return 0;
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  int ended = GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS;
  gst_message_unref (message);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  return ended;
}
*/
import "C"

import (
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"
)

func play(text string, done *sync.WaitGroup) {
	line := C.CString(text)
	if C.play(line) == 0 {
		os.Exit(1)
	}
	C.free(unsafe.Pointer(line))
	done.Done()
}

func main() {
	C.gst_init(nil, nil)
	// What the runtime does with signals goes on: one of its own, and children, which start with the defaults.
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	var done sync.WaitGroup
	done.Add(2)
	go play("videotestsrc name=first pattern=snow num-buffers=400 ! video/x-raw,width=640,height=360 ! fakesink", &done)
	go play("videotestsrc name=second pattern=snow num-buffers=400 ! video/x-raw,width=640,height=360 ! fakesink", &done)
	for i := 0; i < 20; i++ {
		if exec.Command("true").Run() != nil {
			os.Exit(2)
		}
	}
	done.Wait()
	syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
	<-usr1
	if len(os.Args) > 1 {
		syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	os.Exit(3)
}
