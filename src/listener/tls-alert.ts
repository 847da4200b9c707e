/** An alert in clear, by which a handshake is refused as long as nothing is agreed on (RFC 8446 §6.2). */
import type { Alert } from '../tls/client-hello.ts'

const ALERT_RECORD = 21
const FATAL = 2

export function alertRecord(alert: Alert): Buffer {
  return Buffer.from([ALERT_RECORD, 3, 3, 0, 2, FATAL, alert])
}
