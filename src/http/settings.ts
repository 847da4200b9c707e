/** The settings that a peer has sent, and which values break the protocol (RFC 9113 §6.5). */
import { DEFAULT_WINDOW, LARGEST_WINDOW } from './flow-control.ts'
import { DEFAULT_FRAME_SIZE, ErrorCode, LARGEST_FRAME_SIZE, type Role, Setting } from './frames.ts'

/** Why a connection ends. */
export interface ConnectionFault {
  readonly code: ErrorCode
  readonly detail: string
}

/** In force at a peer; the values before any SETTINGS are those of RFC 9113 §6.5.2. */
export class PeerSettings {
  /** Bytes that its decoder keeps for us. */
  headerTableSize = 4_096
  /** Streams that it lets us open at a time. */
  maxConcurrentStreams = Number.POSITIVE_INFINITY
  /** Bytes of DATA that it takes on a new stream. */
  initialWindowSize = DEFAULT_WINDOW
  /** Bytes of a frame's payload. */
  maxFrameSize = DEFAULT_FRAME_SIZE
  /** Advice alone (RFC 9113 §10.5.1). */
  maxHeaderListSize = Number.POSITIVE_INFINITY
  /** RFC 8441: of a server. */
  enableConnectProtocol = false
  /** RFC 9218: its PRIORITY frames mean nothing; null until its first SETTINGS. */
  noRfc7540Priorities: boolean | null = null

  /**
   * Takes one setting. What follows from it (windows of open streams, the encoder's table) is the caller's.
   *
   * @param role of ours: the peer has the other one
   * @returns null, or why the connection must end. An unknown setting is ignored (RFC 9113 §6.5.2).
   */
  apply(id: number, value: number, role: Role): ConnectionFault | null {
    switch (id) {
      case Setting.HEADER_TABLE_SIZE:
        this.headerTableSize = value
        return null
      case Setting.ENABLE_PUSH:
        // A server may state 0 alone (RFC 9113 §6.5.2).
        return value === 0 || (value === 1 && role === 'server') ? null : faulty('ENABLE_PUSH', value)
      case Setting.MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = value
        return null
      case Setting.INITIAL_WINDOW_SIZE:
        if (value > LARGEST_WINDOW) return faulty('INITIAL_WINDOW_SIZE', value, ErrorCode.FLOW_CONTROL_ERROR)
        this.initialWindowSize = value
        return null
      case Setting.MAX_FRAME_SIZE:
        if (value < DEFAULT_FRAME_SIZE || value > LARGEST_FRAME_SIZE) return faulty('MAX_FRAME_SIZE', value)
        this.maxFrameSize = value
        return null
      case Setting.MAX_HEADER_LIST_SIZE:
        this.maxHeaderListSize = value
        return null
      case Setting.ENABLE_CONNECT_PROTOCOL:
        // RFC 8441 §3: once 1, never 0 again.
        if (value > 1 || (value === 0 && this.enableConnectProtocol)) return faulty('ENABLE_CONNECT_PROTOCOL', value)
        this.enableConnectProtocol = value === 1
        return null
      case Setting.NO_RFC7540_PRIORITIES:
        // RFC 9218 §2.1: in the first SETTINGS, and never changed.
        if (value > 1 || (this.noRfc7540Priorities ?? value === 1) !== (value === 1))
          return faulty('NO_RFC7540_PRIORITIES', value)
        this.noRfc7540Priorities = value === 1
        return null
      default:
        return null
    }
  }
}

function faulty(name: string, value: number, code: ErrorCode = ErrorCode.PROTOCOL_ERROR): ConnectionFault {
  return { code, detail: `the value ${value} of SETTINGS_${name}` }
}
