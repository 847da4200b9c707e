import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { errorName, type Role, Setting } from '../../src/http/frames.ts'
import { PeerSettings } from '../../src/http/settings.ts'

/** @returns the name of the error, or '' */
function fault(settings: PeerSettings, id: number, value: number, role: Role = 'server'): string {
  const found = settings.apply(id, value, role)
  return found === null ? '' : errorName(found.code)
}

describe('the settings of a peer', () => {
  it('are taken one by one', () => {
    const settings = new PeerSettings()
    assert.equal(settings.initialWindowSize, 65_535)
    assert.equal(fault(settings, Setting.HEADER_TABLE_SIZE, 0xffff_ffff), '')
    assert.equal(fault(settings, Setting.MAX_CONCURRENT_STREAMS, 0), '')
    assert.equal(fault(settings, Setting.INITIAL_WINDOW_SIZE, 0x7fff_ffff), '')
    assert.equal(fault(settings, Setting.MAX_FRAME_SIZE, 16_777_215), '')
    assert.equal(fault(settings, Setting.MAX_HEADER_LIST_SIZE, 7), '')
    assert.equal(fault(settings, Setting.ENABLE_CONNECT_PROTOCOL, 1), '')
    assert.equal(fault(settings, 0xff00, 1), '', 'what is unknown is ignored')
    assert.deepEqual(
      { ...settings },
      {
        headerTableSize: 0xffff_ffff,
        maxConcurrentStreams: 0,
        initialWindowSize: 0x7fff_ffff,
        maxFrameSize: 16_777_215,
        maxHeaderListSize: 7,
        enableConnectProtocol: true,
        noRfc7540Priorities: null,
      },
    )
  })

  it('have values that break the protocol', () => {
    const settings = new PeerSettings()
    assert.equal(fault(settings, Setting.ENABLE_PUSH, 2), 'PROTOCOL_ERROR')
    assert.equal(fault(settings, Setting.ENABLE_PUSH, 1), '')
    assert.equal(fault(settings, Setting.ENABLE_PUSH, 1, 'client'), 'PROTOCOL_ERROR', 'from a server')
    assert.equal(fault(settings, Setting.ENABLE_PUSH, 0, 'client'), '')
    assert.equal(fault(settings, Setting.INITIAL_WINDOW_SIZE, 0x8000_0000), 'FLOW_CONTROL_ERROR')
    assert.equal(fault(settings, Setting.MAX_FRAME_SIZE, 16_383), 'PROTOCOL_ERROR')
    assert.equal(fault(settings, Setting.MAX_FRAME_SIZE, 16_777_216), 'PROTOCOL_ERROR')
    assert.equal(fault(settings, Setting.ENABLE_CONNECT_PROTOCOL, 2), 'PROTOCOL_ERROR')
    assert.equal(fault(settings, Setting.NO_RFC7540_PRIORITIES, 2), 'PROTOCOL_ERROR')
    assert.deepEqual({ ...settings }, { ...new PeerSettings() }, 'none of them was taken')
  })

  it('do not take back what must stay', () => {
    const settings = new PeerSettings()
    assert.equal(fault(settings, Setting.ENABLE_CONNECT_PROTOCOL, 0), '')
    assert.equal(fault(settings, Setting.ENABLE_CONNECT_PROTOCOL, 1), '')
    assert.equal(fault(settings, Setting.ENABLE_CONNECT_PROTOCOL, 0), 'PROTOCOL_ERROR')
    assert.equal(fault(settings, Setting.NO_RFC7540_PRIORITIES, 1), '')
    assert.equal(fault(settings, Setting.NO_RFC7540_PRIORITIES, 0), 'PROTOCOL_ERROR')
  })
})
