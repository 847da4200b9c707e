import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  goawayLength,
  PING_FRAME,
  RST_STREAM_FRAME,
  WINDOW_UPDATE_FRAME,
  writeGoaway,
  writePing,
  writeReset,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from '../../src/http/frame-writer.ts'
import { ErrorCode, FRAME_HEADER, LAST_STREAM_ID, Setting } from '../../src/http/frames.ts'
import { readFrames } from './frame-log.ts'

describe('the writers of frames', () => {
  it('write what a reader reads, as many bytes as they say, and none besides', () => {
    const out = Buffer.alloc(400, 0x58)
    const ping = Buffer.from('..pingpong..')
    let at = writeSettings(out, 3, [Setting.MAX_FRAME_SIZE, 16_777_215, Setting.INITIAL_WINDOW_SIZE, 0xffff_ffff])
    assert.equal(at, 3 + FRAME_HEADER + 12)
    const sizes: [number, (at: number) => number][] = [
      [FRAME_HEADER, (from) => writeSettingsAck(out, from)],
      [PING_FRAME, (from) => writePing(out, from, false, ping, 2)],
      [PING_FRAME, (from) => writePing(out, from, true, ping, 2)],
      [WINDOW_UPDATE_FRAME, (from) => writeWindowUpdate(out, from, LAST_STREAM_ID, 0x7fff_ffff)],
      [RST_STREAM_FRAME, (from) => writeReset(out, from, 70_001, ErrorCode.HTTP_1_1_REQUIRED)],
      [goawayLength('bye'), (from) => writeGoaway(out, from, 0x0102_0304, ErrorCode.NO_ERROR, 'bye')],
    ]
    for (const [size, write] of sizes) {
      const next = write(at)
      assert.equal(next - at, size)
      at = next
    }
    assert.deepEqual(readFrames(out.subarray(3, at), []).lines, [
      'setting 5=16777215',
      'setting 4=4294967295',
      'settings',
      'settings ack',
      'ping pingpong',
      'ping ack pingpong',
      'window 2147483647 2147483647',
      'reset 70001 HTTP_1_1_REQUIRED',
      'goaway 16909060 NO_ERROR "bye"',
    ])
    assert.equal(out.latin1Slice(0, 3) + out.latin1Slice(at, at + 3), 'XXXXXX')
  })
})
