/**
 * Where what stands in packed tables. Everything is 32-bit words in host order (the threads of one process read it).
 * Offsets inside a virtual host count words from its start, so that it can be copied to another block as it is. 0 as an
 * offset means "none".
 */

/** Root: header, then slots of an open-addressed table over the hostnames and the groups of frontends. */
export const ROOT_MAGIC = 0
/** Differs between packers, so that caches are never carried over from the blocks of another. */
export const ROOT_NONCE = 1
/** Start of the hash over hostnames, from their end to their beginning. */
export const ROOT_SEED = 2
/** Slots less one; their number is a power of two. */
export const ROOT_MASK = 3
/** Bit n: there are wildcards with n dots; bit 31: with 31 or more. */
export const ROOT_WILDCARDS = 4
export const ROOT_HOSTS = 5
export const ROOT_SLOTS = 8
export const MAGIC = 0x48477432

/**
 * Slot of the root: hash, index of the block and one (0 = never used, -1 = was used), offset of the virtual host in
 * words, which frontends serve it, and its TLS.
 */
export const SLOT_HASH = 0
export const SLOT_BLOCK = 1
export const SLOT_OFFSET = 2
/**
 * Negative: what the group of frontends with this number serves besides. Else it is what all have in common, and this
 * is the index of the partition of its hostname (0 = undivided), with {@link EXCLUSIVE} where no others have the
 * hostname, and {@link EXTENDS} where what it does not match goes on to the wildcard over it.
 */
export const SLOT_FRONTENDS = 3
/** Index of the HostTls and one; 0 = none. In the slot of the hostname alone, for all its groups. */
export const SLOT_TLS = 4
export const SLOT_WORDS = 5
export const EXCLUSIVE = 1 << 30
export const EXTENDS = 1 << 29
export const PARTITION = EXTENDS - 1

/** Frontend directory: header, slots of an open-addressed table over names, names by row, partitions by index. */
export const DIRECTORY_ID = 0
/** Slots less one; their number is a power of two. A slot is a row and one; 0 = free. */
export const DIRECTORY_MASK = 1
export const DIRECTORY_SLOTS_AT = 2
/** Offsets of the names of rows 1 …; row 0 stands for frontends that are not in here. */
export const DIRECTORY_ROWS = 3
export const DIRECTORY_ROWS_AT = 4
/** Offsets of the partitions; partition 0 divides nothing. */
export const DIRECTORY_PARTITIONS_AT = 5
export const DIRECTORY_HEADER = 6
/** Partition: how many frontends, then pairs of row and number of its group, by row. */
export const PARTITION_PAIRS = 1

/** Block: the id, then virtual hosts. */
export const BLOCK_ID = 0
export const BLOCK_DATA = 2

/** VirtualHost header. */
export const VHOST_WORDS = 0
export const VHOST_HOSTNAME = 1
export const VHOST_SEED = 2
export const VHOST_RULES = 3
export const VHOST_RULES_AT = 4
export const VHOST_MATCHES = 5
export const VHOST_MATCHES_AT = 6
/** Slots less one of the table of exact paths, and its offset; -1 = there are none. */
export const VHOST_EXACT_MASK = 7
export const VHOST_EXACT_AT = 8
/** The same for prefixes. */
export const VHOST_PREFIX_MASK = 9
export const VHOST_PREFIX_AT = 10
/** The same for regular expressions, by the literal path segments they begin with. */
export const VHOST_REGEX_MASK = 11
export const VHOST_REGEX_AT = 12
/** Characters of the longest exact path. */
export const VHOST_EXACT_LONGEST = 13
/** Path segments of the longest key of a prefix or an expression. */
export const VHOST_DEEPEST = 14
/** Bit n: there are prefixes of n path segments; bit 31: of 31 or more. */
export const VHOST_PREFIX_DEPTHS = 15
/** The same for expressions. */
export const VHOST_REGEX_DEPTHS = 16
/** Distinct pattern sources: how many and the offset of their list. */
export const VHOST_PATTERNS = 17
export const VHOST_PATTERNS_AT = 18
/** Records of ORDER_WORDS by match, where the hostname is divided; 0 = it is not. */
export const VHOST_ORDER_AT = 19
/** Index of the rule that TLS connections are passed through to, and one; 0 = none. */
export const VHOST_PASSTHROUGH = 20
export const VHOST_HEADER = 21

/**
 * Slot of a path table: hash of the key, index of its first match and one (0 = free). Further matches of the key follow
 * by MATCH_NEXT.
 */
export const PATH_SLOT_WORDS = 2

/** Match record. */
export const MATCH_RULE = 0
/** 0 any, 1 … index in METHODS and one, negative: the offset of its text. */
export const MATCH_METHOD = 1
/** Offset of the conditions; 0 = none. */
export const MATCH_CONDITIONS = 2
export const MATCH_PATH = 3
export const MATCH_TYPE = 4
/** What it is found by: an exact path, a prefix (empty for `/`), the literal beginning of an expression. */
export const MATCH_KEY = 5
/** Index of the next match with this key in matching order, and one; 0 = the last. */
export const MATCH_NEXT = 6
export const MATCH_WORDS = 7

/** Order record: what decides between matches of two layers and is not in the match itself; see `MatchOrder`. */
/** A float of 64 bits in two words; infinity where it is not known. */
export const ORDER_CREATED = 0
export const ORDER_RULE = 2
export const ORDER_MATCH = 3
export const ORDER_WORDS = 4

export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'] as const
export const HTTP_MODES = ['Redirect', 'Serve', 'Closed'] as const
export const PATH_TYPES = ['Exact', 'PathPrefix', 'RegularExpression'] as const
export const VALUE_TYPES = ['Exact', 'RegularExpression', 'Present', 'Absent'] as const
export const PATH_EXACT = 0
export const PATH_PREFIX = 1
export const PATH_REGEX = 2
export const VALUE_EXACT = 0
export const VALUE_REGEX = 1
export const VALUE_PRESENT = 2
export const VALUE_ABSENT = 3

/** Conditions: five counts, then triples (name, type, value), prefixes (bits and four words), paths. */
export const COND_HEADERS = 0
export const COND_QUERY = 1
export const COND_COOKIES = 2
export const COND_CIDRS = 3
export const COND_WITHIN = 4
export const COND_LIST = 5
export const VALUE_WORDS = 3
export const CIDR_WORDS = 5

/** Rule record. */
export const RULE_ROUTE = 0
export const RULE_NAME = 1
export const RULE_POLICY = 2
/** Index in REASON_LIST and one; 0 = none. */
export const RULE_REFUSE = 3
/** Offset of: how many, then records of BACKEND_WORDS. */
export const RULE_BACKENDS = 4
/** Index in HTTP_MODES and one; 0 = as the hostname says. */
export const RULE_HTTP = 5
export const RULE_WORDS = 6
/** Index (-1 = none), weight, priority, refuse, hash of the id. */
export const BACKEND_WORDS = 5

/** Text: bytes of UTF-8 shifted left by one, lowest bit set where some are not ASCII; then the bytes. */
export const TEXT_BYTES = 1

/**
 * One step of the hash. The shift after each product makes collisions depend on the seed, which no client and no tenant
 * knows.
 */
export function hashStep(hash: number, code: number): number {
  const product = Math.imul(hash ^ code, 0x9e3779b1)
  return product ^ (product >>> 15)
}

/**
 * Hash of a hostname or pattern from its end, so that one pass over a host gives the hashes of all wildcards that cover
 * it.
 */
export function hashHost(seed: number, text: string): number {
  let hash = seed
  for (let i = text.length - 1; i >= 0; i--) hash = hashStep(hash, text.charCodeAt(i))
  return hash
}

/** Hash of a hostname for one group of frontends, from that of the hostname. */
export function hashGroup(hash: number, group: number): number {
  return hashStep(hash, ~group)
}

/** The bit of a depth in a mask. */
export function depthBit(depth: number): number {
  return 1 << (depth > 31 ? 31 : depth)
}
