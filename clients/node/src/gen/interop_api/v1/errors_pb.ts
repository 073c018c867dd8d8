// Why the server refuses: one vocabulary for unary calls, stanzas and the HTTP surface.
//
// Every refusal is a `Refusal`. Inside the chat channel, and per item of a list, it travels as it is. A call that is
// refused ends with a gRPC status whose `grpc-status-details-bin` trailer holds a `google.rpc.Status` with these details:
//   1. `google.rpc.ErrorInfo`: `reason` is the name below without its `ERROR_REASON_` prefix, `domain` is `interopsim`,
//      and `metadata` holds `requirement`, `advice`, `recovery` (a name below without its prefix), `code` and `request_id`;
//   2. the `Refusal`, under the type URL `type.googleapis.com/interop_api.v1.Refusal`;
//   3. `google.rpc.RetryInfo`, when there is a `retry_after_ms`;
//   4. `google.rpc.BadRequest`, when there are `violations`.
// `google.rpc` is not among these files: it is `google/rpc/status.proto` and `google/rpc/error_details.proto` of
// https://github.com/googleapis/googleapis, which is compiled already in `googleapis-common-protos` (Python),
// `google.golang.org/genproto/googleapis/rpc` (Go), `proto-google-common-protos` (Java) and `google-proto-files` (Node.js).
// A client that has only these files needs of `Status` no more than field 3, `repeated google.protobuf.Any details`, and
// the `Refusal` in it, which says all that the other details say.
// Over HTTP it is a JSON object with the same field names; reason and recovery are in lower case without their prefix,
// and what is absent or empty is left out. The delay is also the header `Retry-After`, in seconds.
//
// Every call of a service of the contract is answered with the metadata `x-request-id`, at its end, and every HTTP
// request that parses with the header `X-Request-Id`. The entry of the call in the server's journal has the same id. A
// client may choose it, by the same metadata or header: 1 to 64 characters of A–Z, a–z, 0–9, `-`, `_`, `.`; otherwise,
// or when it is anything else, the server makes it, 16 hexadecimal digits. An id that comes twice names two calls.
//
// Before any rule is asked, every call can be refused with REQUEST_MALFORMED: its bytes are no message of the method, or
// more than its largest right request has (64 KiB and room for its lists), or did not come within 60 s, or its metadata
// has over 16 KiB, as HTTP/2 counts it (most often gRPC itself refuses that, with no reason). Lists are counted
// in those bytes, and TOO_MANY_ITEMS comes before anything else is looked at. And every call, handshake and HTTP request
// can be refused with RATE_LIMITED: so much is under way already, of this account, from this address or in all
// (`account_…`, `address_…`, `transfers`, `partner_media_…`, `journal_readers`). Nothing is queued; try again after
// the delay.
//
// A client decides what to do by `recovery`, which also works for reasons that are newer than the client.
//
// A call that ends without these details and with one of three statuses was refused by gRPC itself, or by what stands
// before the calls. The same is refused again: act as on NEVER.
//   - RESOURCE_EXHAUSTED: the request has over 16,777,215 bytes, or the metadata over 16 KiB. Nothing was done. Or the
//     client's own library takes no response of that length (4 MiB, unless `Bounds:` says otherwise): then the call was
//     done;
//   - UNIMPLEMENTED: the server has no such method, or the request is compressed, in whatever way. Nothing was done;
//   - UNAUTHENTICATED: a call of the admin port lacks its token (admin.proto). Nothing was done. The services of this
//     package give every such refusal a reason.
// With any other status a call without these details has lost its answer, or its request: nobody knows whether it was
// done. Which status a library gives it is the library's choice: UNAVAILABLE, CANCELLED, UNKNOWN, INTERNAL and ABORTED
// were seen when a connection broke, DEADLINE_EXCEEDED when the client's own time was over. Go by the absence of
// details, not by which of these it is.
//
// Repeating a call after a lost answer: requests whose repetition would be done twice have a field `request_id`, which the
// client chooses: 1 to 64 characters of A–Z, a–z, 0–9, `-`, `_`, `.`. The same caller repeating the same call with the
// same `request_id` and the same bytes gets the answer of the first, and nothing is done again; while the first is under
// way, the repetition waits for it. It goes on when its caller breaks off. A refusal is the answer, too, unless its
// `recovery` is SAME_AGAIN, after which the repetition is a new attempt. With other bytes the id is REQUEST_MALFORMED.
// The server remembers the 100 newest answers of a caller, of together 4 MiB, for 600 seconds, and 64 MiB of all callers
// (`repeat_…`), in memory: after a restart a repetition is a new call. Of several nodes of a world, any that is asked has the
// answer from the one that gave it, while that is there. The answer is the first one in every respect, also
// where the caller has logged in again since and names other capabilities. The metadata `x-request-id` is something
// else: it names one call, and a repetition is another call.
//
// `interopsim explain REQUEST_ID` says in plain words what was refused and what would have made it succeed.

// @generated by protoc-gen-es v2.12.1 with parameter "target=ts,import_extension=js"
// @generated from file interop_api/v1/errors.proto (package interop_api.v1, syntax proto3)
/* eslint-disable */

import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
import type { Message } from "@bufbuild/protobuf";

/**
 * Describes the file interop_api/v1/errors.proto.
 */
export const file_interop_api_v1_errors: GenFile = /*@__PURE__*/
  fileDesc("ChtpbnRlcm9wX2FwaS92MS9lcnJvcnMucHJvdG8SDmludGVyb3BfYXBpLnYxIo0CCgdSZWZ1c2FsEisKBnJlYXNvbhgBIAEoDjIbLmludGVyb3BfYXBpLnYxLkVycm9yUmVhc29uEhMKC3JlcXVpcmVtZW50GAIgASgJEg4KBmFkdmljZRgDIAEoCRIbCg5yZXRyeV9hZnRlcl9tcxgEIAEoA0gAiAEBEhIKCnJlcXVlc3RfaWQYBSABKAkSDAoEY29kZRgGIAEoDRIqCghyZWNvdmVyeRgHIAEoDjIYLmludGVyb3BfYXBpLnYxLlJlY292ZXJ5EjIKCnZpb2xhdGlvbnMYCCADKAsyHi5pbnRlcm9wX2FwaS52MS5GaWVsZFZpb2xhdGlvbkIRCg9fcmV0cnlfYWZ0ZXJfbXMiNAoORmllbGRWaW9sYXRpb24SDQoFZmllbGQYASABKAkSEwoLZGVzY3JpcHRpb24YAiABKAkqgBoKC0Vycm9yUmVhc29uEhwKGEVSUk9SX1JFQVNPTl9VTlNQRUNJRklFRBAAEh8KG0VSUk9SX1JFQVNPTl9CQURfSU5URUdSQVRPUhABEiMKH0VSUk9SX1JFQVNPTl9QQVJUTkVSX05PVF9BQ1RJVkUQAhIgChxFUlJPUl9SRUFTT05fVE9LRU5fVE9PX0xBUkdFEAMSIAocRVJST1JfUkVBU09OX1RPS0VOX01BTEZPUk1FRBAEEigKJEVSUk9SX1JFQVNPTl9UT0tFTl9BTEdPUklUSE1fUkVGVVNFRBAFEiIKHkVSUk9SX1JFQVNPTl9UT0tFTl9LRVlfVU5LTk9XThAGEigKJEVSUk9SX1JFQVNPTl9UT0tFTl9TSUdOQVRVUkVfSU5WQUxJRBAHEh4KGkVSUk9SX1JFQVNPTl9UT0tFTl9FWFBJUkVEEAgSJAogRVJST1JfUkVBU09OX1RPS0VOX05PVF9ZRVRfVkFMSUQQCRIoCiRFUlJPUl9SRUFTT05fVE9LRU5fTElGRVRJTUVfVE9PX0xPTkcQChIlCiFFUlJPUl9SRUFTT05fVE9LRU5fQ0xBSU1TX0lOVkFMSUQQCxInCiNFUlJPUl9SRUFTT05fVE9LRU5fU1VCSkVDVF9NSVNNQVRDSBAMEiEKHUVSUk9SX1JFQVNPTl9KV0tTX1VOQVZBSUxBQkxFEA0SHgoaRVJST1JfUkVBU09OX0tFWV9NQUxGT1JNRUQQDhIpCiVFUlJPUl9SRUFTT05fUFJFS0VZX1NJR05BVFVSRV9JTlZBTElEEA8SKQolRVJST1JfUkVBU09OX1BST1RPQ09MX1ZFUlNJT05fVE9PX09MRBAQEiUKIUVSUk9SX1JFQVNPTl9MT0NBVElPTl9OT1RfQUxMT1dFRBAREicKI0VSUk9SX1JFQVNPTl9IQU5EU0hBS0VfT1VUX09GX09SREVSEBQSJAogRVJST1JfUkVBU09OX0hBTkRTSEFLRV9NQUxGT1JNRUQQFRIwCixFUlJPUl9SRUFTT05fSEFORFNIQUtFX0FVVEhFTlRJQ0FUSU9OX0ZBSUxFRBAWEiAKHEVSUk9SX1JFQVNPTl9MT0dJTl9NQUxGT1JNRUQQFxIdChlFUlJPUl9SRUFTT05fTk9UX0VOTElTVEVEEBgSIgoeRVJST1JfUkVBU09OX0FVVEhfS0VZX01JU01BVENIEBkSLAooRVJST1JfUkVBU09OX0ZSQU1FX0FVVEhFTlRJQ0FUSU9OX0ZBSUxFRBAaEiAKHEVSUk9SX1JFQVNPTl9GUkFNRV9UT09fTEFSR0UQGxIgChxFUlJPUl9SRUFTT05fRlJBTUVfTUFMRk9STUVEEBwSIAocRVJST1JfUkVBU09OX0JBVENIX1RPT19MQVJHRRAdEiQKIEVSUk9SX1JFQVNPTl9DT05ORUNUSU9OX1JFUExBQ0VEEB4SIgoeRVJST1JfUkVBU09OX0NPTk5FQ1RJT05fU0lMRU5UEB8SJwojRVJST1JfUkVBU09OX0NPTk5FQ1RJT05fTVVMVElQTEVYRUQQIBIhCh1FUlJPUl9SRUFTT05fU0VTU0lPTl9SRVFVSVJFRBAhEh0KGUVSUk9SX1JFQVNPTl9TRVNTSU9OX0RFQUQQIhIgChxFUlJPUl9SRUFTT05fU0VSVkVSX0RSQUlOSU5HECMSIgoeRVJST1JfUkVBU09OX0hBTkRTSEFLRV9USU1FT1VUECQSIwofRVJST1JfUkVBU09OX0VOTElTVE1FTlRfRVhQSVJFRBAlEiMKH0VSUk9SX1JFQVNPTl9URU1QT1JBUklMWV9CQU5ORUQQJhIXChNFUlJPUl9SRUFTT05fQkFOTkVEECcSIgoeRVJST1JfUkVBU09OX1BST1hZX05PVF9BTExPV0VEECgSJwojRVJST1JfUkVBU09OX0NMSUVOVF9BRERSRVNTX0lOVkFMSUQQKRIeChpFUlJPUl9SRUFTT05fS0VZU19SRVBMQUNFRBAqEiEKHUVSUk9SX1JFQVNPTl9TVEFOWkFfTUFMRk9STUVEECsSHwobRVJST1JfUkVBU09OX1NUQU5aQV9VTktOT1dOECwSIgoeRVJST1JfUkVBU09OX1JFUVVFU1RfTUFMRk9STUVEEDISHwobRVJST1JfUkVBU09OX1RPT19NQU5ZX0lURU1TEDMSJAogRVJST1JfUkVBU09OX1BSRUtFWV9JRF9EVVBMSUNBVEUQNBIeChpFUlJPUl9SRUFTT05fUFJFS0VZX1JFVVNFRBA1EiAKHEVSUk9SX1JFQVNPTl9QUkVLRVlTX05PVF9TRVQQNhImCiJFUlJPUl9SRUFTT05fSURFTlRJVFlfS0VZX01JU01BVENIEDcSIAocRVJST1JfUkVBU09OX0tFTV9QUkVLRVlTX09GRhA4Eh8KG0VSUk9SX1JFQVNPTl9RVU9UQV9FWENFRURFRBA5EigKJEVSUk9SX1JFQVNPTl9SRUNJUElFTlRfTk9UX1JFQUNIQUJMRRA8EiQKIEVSUk9SX1JFQVNPTl9TRU5ERVJfTk9UX09QVEVEX0lOED0SLAooRVJST1JfUkVBU09OX1JFQ0lQSUVOVF9CTE9DS0VEX0JZX1NFTkRFUhA+EigKJEVSUk9SX1JFQVNPTl9VU0VSX1ZJU0lCTEVfSURFTlRJRklFUhA/EiIKHkVSUk9SX1JFQVNPTl9BRERSRVNTX01BTEZPUk1FRBBAEisKJ0VSUk9SX1JFQVNPTl9OVU1CRVJfQkFTRURfTk9UX1NVUFBPUlRFRBBBEiQKIEVSUk9SX1JFQVNPTl9DQUxMU19OT1RfU1VQUE9SVEVEEEISJQohRVJST1JfUkVBU09OX0dST1VQU19OT1RfU1VQUE9SVEVEEEMSJAogRVJST1JfUkVBU09OX1JPVVRFX05PVF9TVVBQT1JURUQQRBIlCiFFUlJPUl9SRUFTT05fREVWSUNFX0xJU1RfTUlTTUFUQ0gQRRIiCh5FUlJPUl9SRUFTT05fTUVTU0FHRV9UT09fTEFSR0UQRhIdChlFUlJPUl9SRUFTT05fTUFJTEJPWF9GVUxMEEcSHQoZRVJST1JfUkVBU09OX1JBVEVfTElNSVRFRBBIEiEKHUVSUk9SX1JFQVNPTl9ORVdfQ0hBVFNfQ0FQUEVEEEkSIQodRVJST1JfUkVBU09OX05FV19DSEFUU19MT0NLRUQQShIiCh5FUlJPUl9SRUFTT05fQ0hBTExFTkdFX0lOVkFMSUQQSxIlCiFFUlJPUl9SRUFTT05fQUREUkVTU19OQU1FU19ERVZJQ0UQTBIiCh5FUlJPUl9SRUFTT05fTUVTU0FHRV9JRF9SRVVTRUQQTRIjCh9FUlJPUl9SRUFTT05fVEVSTVNfTk9UX0FDQ0VQVEVEEFASHQoZRVJST1JfUkVBU09OX05PVF9FTElHSUJMRRBREiAKHEVSUk9SX1JFQVNPTl9QQVJUTkVSX1VOS05PV04QUhIpCiVFUlJPUl9SRUFTT05fQ0FMTEVSX05PVF9XSEFUU0FQUF9VU0VSEFMSLAooRVJST1JfUkVBU09OX0NBTExFUl9OT1RfVEhJUkRfUEFSVFlfVVNFUhBUEiUKIUVSUk9SX1JFQVNPTl9VUExPQURfVE9LRU5fSU5WQUxJRBBaEiQKIEVSUk9SX1JFQVNPTl9VUExPQURfQVVUSF9JTlZBTElEEFsSJwojRVJST1JfUkVBU09OX1VQTE9BRF9MRU5HVEhfTUlTTUFUQ0gQXBIlCiFFUlJPUl9SRUFTT05fVVBMT0FEX0hBU0hfTUlTTUFUQ0gQXRInCiNFUlJPUl9SRUFTT05fVVBMT0FEX09GRlNFVF9NSVNNQVRDSBBeEh8KG0VSUk9SX1JFQVNPTl9CTE9CX1RPT19MQVJHRRBfEh8KG0VSUk9SX1JFQVNPTl9CTE9CX05PVF9GT1VORBBgEh0KGUVSUk9SX1JFQVNPTl9CTE9CX0VYUElSRUQQYRIeChpFUlJPUl9SRUFTT05fUkFOR0VfSU5WQUxJRBBiEioKJkVSUk9SX1JFQVNPTl9TVE9SQUdFX1JFRkVSRU5DRV9JTlZBTElEEGMSKgomRVJST1JfUkVBU09OX1BBUlRORVJfTUVESUFfVU5BVkFJTEFCTEUQZBIfChtFUlJPUl9SRUFTT05fTk9UX1JFR0lTVEVSRUQQbhIjCh9FUlJPUl9SRUFTT05fQUxSRUFEWV9SRUdJU1RFUkVEEG8SHQoZRVJST1JfUkVBU09OX1NFUlZFUl9GQVVMVBB4EiQKIEVSUk9SX1JFQVNPTl9TVE9SQUdFX1VOQVZBSUxBQkxFEHkSHQoZRVJST1JfUkVBU09OX1dPUkxEX1NIQVJFRBB6KuMBCghSZWNvdmVyeRIYChRSRUNPVkVSWV9VTlNQRUNJRklFRBAAEhIKDlJFQ09WRVJZX05FVkVSEAESFwoTUkVDT1ZFUllfU0FNRV9BR0FJThACEhYKElJFQ09WRVJZX1JFQ09OTkVDVBADEhYKElJFQ09WRVJZX05FV19UT0tFThAEEhMKD1JFQ09WRVJZX0VOTElTVBAFEhUKEVJFQ09WRVJZX05FV19LRVlTEAYSHAoYUkVDT1ZFUllfUkVGUkVTSF9ERVZJQ0VTEAcSFgoSUkVDT1ZFUllfQ0hBTExFTkdFEAhCVAoVZGV2LmludGVyb3BzaW0uYXBpLnYxUAFaH2ludGVyb3BzaW0uZGV2L2FwaS92MTtpbnRlcm9wdjGiAgNJT1CqAhFJbnRlcm9wc2ltLkFwaS5WMWIGcHJvdG8z");

/**
 * A refusal.
 *
 * @generated from message interop_api.v1.Refusal
 */
export type Refusal = Message<"interop_api.v1.Refusal"> & {
  /**
   * Why.
   *
   * @generated from field: interop_api.v1.ErrorReason reason = 1;
   */
  reason: ErrorReason;

  /**
   * The requirement that was broken, for example `OPT-09`.
   *
   * @generated from field: string requirement = 2;
   */
  requirement: string;

  /**
   * A sentence that says what to do. For people, not for parsing.
   *
   * @generated from field: string advice = 3;
   */
  advice: string;

  /**
   * Milliseconds after which a new attempt can succeed; `recovery` says whether an attempt can succeed at all. With
   * SAME_AGAIN and RECONNECT always there: 1,000 where the server knows no better. With others absent when there is no
   * estimate.
   *
   * @generated from field: optional int64 retry_after_ms = 4;
   */
  retryAfterMs?: bigint | undefined;

  /**
   * Names this refusal in the journal, for `interopsim explain`: the id of its call. A stanza and an item of a list
   * have an id of their own, 16 hexadecimal digits.
   *
   * @generated from field: string request_id = 5;
   */
  requestId: string;

  /**
   * The code of this refusal on the modelled wire, as observed. For information: 400 malformed, 401 not authorised, 402
   * temporarily banned, 403 not allowed, 404 not found, 405 not in this state or client outdated, 406 keys are bad
   * (KEY-13) or banned, 409 exists, 410 gone, 429 too much, 463 and 475 no new chats, 500 an unexpected failure, 503
   * transient. The refusal of a login has the login's code (CHN-10), which differs for some reasons.
   *
   * @generated from field: uint32 code = 6;
   */
  code: number;

  /**
   * What to do about it, for programs.
   *
   * @generated from field: interop_api.v1.Recovery recovery = 7;
   */
  recovery: Recovery;

  /**
   * The wrong fields of the request; empty when no single field is wrong.
   *
   * @generated from field: repeated interop_api.v1.FieldViolation violations = 8;
   */
  violations: FieldViolation[];
};

/**
 * Describes the message interop_api.v1.Refusal.
 * Use `create(RefusalSchema)` to create a new message.
 */
export const RefusalSchema: GenMessage<Refusal> = /*@__PURE__*/
  messageDesc(file_interop_api_v1_errors, 0);

/**
 * A field of a request, or of a stanza, that is wrong.
 *
 * @generated from message interop_api.v1.FieldViolation
 */
export type FieldViolation = Message<"interop_api.v1.FieldViolation"> & {
  /**
   * Its path from the request or the stanza on, by the names in these files, with indices from 0:
   * `users[3].external_id`.
   * For the enlistment form the field's name.
   *
   * @generated from field: string field = 1;
   */
  field: string;

  /**
   * What is wrong with it. For people.
   *
   * @generated from field: string description = 2;
   */
  description: string;
};

/**
 * Describes the message interop_api.v1.FieldViolation.
 * Use `create(FieldViolationSchema)` to create a new message.
 */
export const FieldViolationSchema: GenMessage<FieldViolation> = /*@__PURE__*/
  messageDesc(file_interop_api_v1_errors, 1);

/**
 * The reason of a refusal. Stable: a name is never reused for another meaning.
 * In brackets: the gRPC status of the reason. Then its code, the code of a login refused for it, and its HTTP status,
 * each only where it differs from those of other reasons with this gRPC status.
 *
 * @generated from enum interop_api.v1.ErrorReason
 */
export enum ErrorReason {
  /**
   * Never sent.
   *
   * @generated from enum value: ERROR_REASON_UNSPECIFIED = 0;
   */
  UNSPECIFIED = 0,

  /**
   * The token's issuer is not a registered partner, or the token speaks for another one (ENL-01, T1).
   * [PERMISSION_DENIED; login code 401]
   *
   * @generated from enum value: ERROR_REASON_BAD_INTEGRATOR = 1;
   */
  BAD_INTEGRATOR = 1,

  /**
   * The partner is registered but onboarding, suspended or removed (ENL-01). [PERMISSION_DENIED]
   *
   * @generated from enum value: ERROR_REASON_PARTNER_NOT_ACTIVE = 2;
   */
  PARTNER_NOT_ACTIVE = 2,

  /**
   * The token is longer than 4,096 bytes (ENL-06). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_TOO_LARGE = 3;
   */
  TOKEN_TOO_LARGE = 3,

  /**
   * The token is not a compact JWS with a JSON object in it (ENL-05). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_MALFORMED = 4;
   */
  TOKEN_MALFORMED = 4,

  /**
   * The token is signed with anything but RS256 (ENL-05). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_ALGORITHM_REFUSED = 5;
   */
  TOKEN_ALGORITHM_REFUSED = 5,

  /**
   * The token names no `kid`, or one that the partner's key set does not hold (ENL-04). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_KEY_UNKNOWN = 6;
   */
  TOKEN_KEY_UNKNOWN = 6,

  /**
   * The signature does not verify under the partner's cached key (ENL-03). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_SIGNATURE_INVALID = 7;
   */
  TOKEN_SIGNATURE_INVALID = 7,

  /**
   * The token's `exp` has passed (ENL-05). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_EXPIRED = 8;
   */
  TOKEN_EXPIRED = 8,

  /**
   * The token's `nbf` or `iat` lies in the future (ENL-05). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_NOT_YET_VALID = 9;
   */
  TOKEN_NOT_YET_VALID = 9,

  /**
   * The token lives longer than policy allows (ENL-05). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_LIFETIME_TOO_LONG = 10;
   */
  TOKEN_LIFETIME_TOO_LONG = 10,

  /**
   * A required claim is absent or has the wrong type or value (ENL-07). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_CLAIMS_INVALID = 11;
   */
  TOKEN_CLAIMS_INVALID = 11,

  /**
   * The token speaks for another user than the account that it is used for (ENL-07, T2).
   * [PERMISSION_DENIED; login code 401]
   *
   * @generated from enum value: ERROR_REASON_TOKEN_SUBJECT_MISMATCH = 12;
   */
  TOKEN_SUBJECT_MISMATCH = 12,

  /**
   * No usable key set of the partner could be fetched so far (ENL-03). [UNAVAILABLE]
   *
   * @generated from enum value: ERROR_REASON_JWKS_UNAVAILABLE = 13;
   */
  JWKS_UNAVAILABLE = 13,

  /**
   * A key, id or signature has the wrong length, range or encoding, or a key has low order (ENL-08, KEY-02).
   * [INVALID_ARGUMENT; code 406]
   *
   * @generated from enum value: ERROR_REASON_KEY_MALFORMED = 14;
   */
  KEY_MALFORMED = 14,

  /**
   * A signed prekey's signature does not verify under the identity key (ENL-10, KEY-13). [INVALID_ARGUMENT; code 406]
   *
   * @generated from enum value: ERROR_REASON_PREKEY_SIGNATURE_INVALID = 15;
   */
  PREKEY_SIGNATURE_INVALID = 15,

  /**
   * The client speaks an interop protocol version under the floor (ENL-15). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_PROTOCOL_VERSION_TOO_OLD = 16;
   */
  PROTOCOL_VERSION_TOO_OLD = 16,

  /**
   * The user is not located where third-party users must be (ENL-16, T17). [PERMISSION_DENIED]
   *
   * @generated from enum value: ERROR_REASON_LOCATION_NOT_ALLOWED = 17;
   */
  LOCATION_NOT_ALLOWED = 17,

  /**
   * A handshake message or frame came where the protocol allows none (CHN-01). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_HANDSHAKE_OUT_OF_ORDER = 20;
   */
  HANDSHAKE_OUT_OF_ORDER = 20,

  /**
   * A handshake message has a wrong length or is not a handshake message (CHN-03). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_HANDSHAKE_MALFORMED = 21;
   */
  HANDSHAKE_MALFORMED = 21,

  /**
   * A handshake message was altered or made with other keys (CHN-02). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_HANDSHAKE_AUTHENTICATION_FAILED = 22;
   */
  HANDSHAKE_AUTHENTICATION_FAILED = 22,

  /**
   * The login payload does not parse or misses a field (CHN-06). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_LOGIN_MALFORMED = 23;
   */
  LOGIN_MALFORMED = 23,

  /**
   * The account does not exist (any more): enlist (again) (CHN-10, LIF-03). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_NOT_ENLISTED = 24;
   */
  NOT_ENLISTED = 24,

  /**
   * The Noise static key is not the enlisted auth key (CHN-07). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_AUTH_KEY_MISMATCH = 25;
   */
  AUTH_KEY_MISMATCH = 25,

  /**
   * A sealed frame did not authenticate (CHN-05). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_FRAME_AUTHENTICATION_FAILED = 26;
   */
  FRAME_AUTHENTICATION_FAILED = 26,

  /**
   * A frame is longer than the limit (CHN-09). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_FRAME_TOO_LARGE = 27;
   */
  FRAME_TOO_LARGE = 27,

  /**
   * A frame's plaintext is not a batch of stanzas; the connection ends (CHN-09). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_FRAME_MALFORMED = 28;
   */
  FRAME_MALFORMED = 28,

  /**
   * A batch holds more stanzas than the limit (CHN-09). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_BATCH_TOO_LARGE = 29;
   */
  BATCH_TOO_LARGE = 29,

  /**
   * The account logged in elsewhere; this connection is over (CHN-11). [ABORTED]
   *
   * @generated from enum value: ERROR_REASON_CONNECTION_REPLACED = 30;
   */
  CONNECTION_REPLACED = 30,

  /**
   * Nothing was heard from the client for too long (CHN-12). [ABORTED]
   *
   * @generated from enum value: ERROR_REASON_CONNECTION_SILENT = 31;
   */
  CONNECTION_SILENT = 31,

  /**
   * A stanza names another sender than the account of its connection (PRX-03). [PERMISSION_DENIED]
   *
   * @generated from enum value: ERROR_REASON_CONNECTION_MULTIPLEXED = 32;
   */
  CONNECTION_MULTIPLEXED = 32,

  /**
   * The call carries no session token: connect first (CHN-01). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_SESSION_REQUIRED = 33;
   */
  SESSION_REQUIRED = 33,

  /**
   * The session token's connection has ended (CHN-01). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_SESSION_DEAD = 34;
   */
  SESSION_DEAD = 34,

  /**
   * The server is stopping; reconnect (CHN-10). [UNAVAILABLE]
   *
   * @generated from enum value: ERROR_REASON_SERVER_DRAINING = 35;
   */
  SERVER_DRAINING = 35,

  /**
   * The login did not arrive in time (CHN-01). [DEADLINE_EXCEEDED]
   *
   * @generated from enum value: ERROR_REASON_HANDSHAKE_TIMEOUT = 36;
   */
  HANDSHAKE_TIMEOUT = 36,

  /**
   * The account was un-enlisted because it had not connected for thirty days by default: enlist again (LIF-04).
   * [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_ENLISTMENT_EXPIRED = 37;
   */
  ENLISTMENT_EXPIRED = 37,

  /**
   * The account is banned for a time; `LoginFailure.sub_code` says what for (ABU-05). [PERMISSION_DENIED; code 402]
   *
   * @generated from enum value: ERROR_REASON_TEMPORARILY_BANNED = 38;
   */
  TEMPORARILY_BANNED = 38,

  /**
   * The account is banned for good (ABU-05). [PERMISSION_DENIED; code 406]
   *
   * @generated from enum value: ERROR_REASON_BANNED = 39;
   */
  BANNED = 39,

  /**
   * The partner's agreement does not allow proxy mode (PRX-01). [PERMISSION_DENIED]
   *
   * @generated from enum value: ERROR_REASON_PROXY_NOT_ALLOWED = 40;
   */
  PROXY_NOT_ALLOWED = 40,

  /**
   * Proxy mode without a public client IP address (PRX-02). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_CLIENT_ADDRESS_INVALID = 41;
   */
  CLIENT_ADDRESS_INVALID = 41,

  /**
   * The account was enlisted or registered again with other keys: the connection was proved with keys that are not the
   * account's any more (ENL-14, CHN-07). [ABORTED]
   *
   * @generated from enum value: ERROR_REASON_KEYS_REPLACED = 42;
   */
  KEYS_REPLACED = 42,

  /**
   * A stanza lacks what it needs, or a field of it is out of range or of the wrong form; the connection goes on
   * (CHN-09). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_STANZA_MALFORMED = 43;
   */
  STANZA_MALFORMED = 43,

  /**
   * A stanza has no kind that the server knows, or one that only the server sends; the connection goes on (CHN-09).
   * [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_STANZA_UNKNOWN = 44;
   */
  STANZA_UNKNOWN = 44,

  /**
   * A request field is absent, too long, out of range or of the wrong form. [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_REQUEST_MALFORMED = 50;
   */
  REQUEST_MALFORMED = 50,

  /**
   * A list in the request is longer than the limit. [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_TOO_MANY_ITEMS = 51;
   */
  TOO_MANY_ITEMS = 51,

  /**
   * One request holds the same prekey id twice (KEY-04). [INVALID_ARGUMENT; code 406]
   *
   * @generated from enum value: ERROR_REASON_PREKEY_ID_DUPLICATE = 52;
   */
  PREKEY_ID_DUPLICATE = 52,

  /**
   * A one-time prekey was published by this account before (KEY-04). [ALREADY_EXISTS; code 406]
   *
   * @generated from enum value: ERROR_REASON_PREKEY_REUSED = 53;
   */
  PREKEY_REUSED = 53,

  /**
   * The account has not published its keys (KEY-01). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_PREKEYS_NOT_SET = 54;
   */
  PREKEYS_NOT_SET = 54,

  /**
   * The identity key differs from the enlisted one (ENL-13). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_IDENTITY_KEY_MISMATCH = 55;
   */
  IDENTITY_KEY_MISMATCH = 55,

  /**
   * Post-quantum prekeys are off (KEY-15). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_KEM_PREKEYS_OFF = 56;
   */
  KEM_PREKEYS_OFF = 56,

  /**
   * As much of this kind is stored for the account as the limit allows (ABU-01, KEY-03). [RESOURCE_EXHAUSTED]
   *
   * @generated from enum value: ERROR_REASON_QUOTA_EXCEEDED = 57;
   */
  QUOTA_EXCEEDED = 57,

  /**
   * Unknown, un-enlisted, not opted in or otherwise out of reach: one answer for all (OPT-09). [NOT_FOUND]
   *
   * @generated from enum value: ERROR_REASON_RECIPIENT_NOT_REACHABLE = 60;
   */
  RECIPIENT_NOT_REACHABLE = 60,

  /**
   * The sending WhatsApp user has third-party chats off, or off for this partner (OPT-01, OPT-06).
   * [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_SENDER_NOT_OPTED_IN = 61;
   */
  SENDER_NOT_OPTED_IN = 61,

  /**
   * The sender has blocked the recipient (MSG-06). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_RECIPIENT_BLOCKED_BY_SENDER = 62;
   */
  RECIPIENT_BLOCKED_BY_SENDER = 62,

  /**
   * An address is a user-visible identifier, not a JID (MSG-01). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_USER_VISIBLE_IDENTIFIER = 63;
   */
  USER_VISIBLE_IDENTIFIER = 63,

  /**
   * An address is not a JID of this service (MSG-01). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_ADDRESS_MALFORMED = 64;
   */
  ADDRESS_MALFORMED = 64,

  /**
   * SMS and other number-based messages are not interoperable (DMA art. 7; MSG-12). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_NUMBER_BASED_NOT_SUPPORTED = 65;
   */
  NUMBER_BASED_NOT_SUPPORTED = 65,

  /**
   * Voice and video calls are not interoperable yet (MSG-12). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_CALLS_NOT_SUPPORTED = 66;
   */
  CALLS_NOT_SUPPORTED = 66,

  /**
   * Groups are not modelled (LIF-06). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_GROUPS_NOT_SUPPORTED = 67;
   */
  GROUPS_NOT_SUPPORTED = 67,

  /**
   * Exactly one end of a third-party chat is a WhatsApp user (MSG-06). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_ROUTE_NOT_SUPPORTED = 68;
   */
  ROUTE_NOT_SUPPORTED = 68,

  /**
   * The `enc` list does not match the recipient's device list (MSG-03). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_DEVICE_LIST_MISMATCH = 69;
   */
  DEVICE_LIST_MISMATCH = 69,

  /**
   * The ciphertext is longer than the limit (MSG-11). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_MESSAGE_TOO_LARGE = 70;
   */
  MESSAGE_TOO_LARGE = 70,

  /**
   * The recipient's mailbox is full; retry later (MSG-11). [RESOURCE_EXHAUSTED]
   *
   * @generated from enum value: ERROR_REASON_MAILBOX_FULL = 71;
   */
  MAILBOX_FULL = 71,

  /**
   * Too many requests of this kind; retry after the delay (MSG-11, OPT-09). [RESOURCE_EXHAUSTED; login code 503]
   *
   * @generated from enum value: ERROR_REASON_RATE_LIMITED = 72;
   */
  RATE_LIMITED = 72,

  /**
   * The sender has opened too many new chats that are unanswered; wait, or answer a challenge (ABU-05, ABU-06).
   * [RESOURCE_EXHAUSTED; code 475]
   *
   * @generated from enum value: ERROR_REASON_NEW_CHATS_CAPPED = 73;
   */
  NEW_CHATS_CAPPED = 73,

  /**
   * The sender may not open new chats for a time, because of reports (ABU-05). [RESOURCE_EXHAUSTED; code 463]
   *
   * @generated from enum value: ERROR_REASON_NEW_CHATS_LOCKED = 74;
   */
  NEW_CHATS_LOCKED = 74,

  /**
   * The challenge is unknown, answered or expired, or the answer is wrong (ABU-06). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_CHALLENGE_INVALID = 75;
   */
  CHALLENGE_INVALID = 75,

  /**
   * An address names a device, where the account as a whole is meant (MSG-01). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_ADDRESS_NAMES_DEVICE = 76;
   */
  ADDRESS_NAMES_DEVICE = 76,

  /**
   * The id of the message named a message to another recipient before (MSG-04). [ALREADY_EXISTS]
   *
   * @generated from enum value: ERROR_REASON_MESSAGE_ID_REUSED = 77;
   */
  MESSAGE_ID_REUSED = 77,

  /**
   * The terms were not shown and then accepted (OPT-03). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_TERMS_NOT_ACCEPTED = 80;
   */
  TERMS_NOT_ACCEPTED = 80,

  /**
   * The WhatsApp user's number or platform does not qualify (OPT-04). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_NOT_ELIGIBLE = 81;
   */
  NOT_ELIGIBLE = 81,

  /**
   * The named partner does not exist or is not active (OPT-03). [NOT_FOUND]
   *
   * @generated from enum value: ERROR_REASON_PARTNER_UNKNOWN = 82;
   */
  PARTNER_UNKNOWN = 82,

  /**
   * Only WhatsApp users may call this. [PERMISSION_DENIED]
   *
   * @generated from enum value: ERROR_REASON_CALLER_NOT_WHATSAPP_USER = 83;
   */
  CALLER_NOT_WHATSAPP_USER = 83,

  /**
   * Only third-party users may call this. [PERMISSION_DENIED]
   *
   * @generated from enum value: ERROR_REASON_CALLER_NOT_THIRD_PARTY_USER = 84;
   */
  CALLER_NOT_THIRD_PARTY_USER = 84,

  /**
   * The upload token is absent or wrong (MED-05). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_UPLOAD_TOKEN_INVALID = 90;
   */
  UPLOAD_TOKEN_INVALID = 90,

  /**
   * The upload auth is unknown or expired (MED-05). [UNAUTHENTICATED]
   *
   * @generated from enum value: ERROR_REASON_UPLOAD_AUTH_INVALID = 91;
   */
  UPLOAD_AUTH_INVALID = 91,

  /**
   * More or fewer bytes came than were declared (MED-07). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_UPLOAD_LENGTH_MISMATCH = 92;
   */
  UPLOAD_LENGTH_MISMATCH = 92,

  /**
   * The bytes do not hash to the token (MED-05). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_UPLOAD_HASH_MISMATCH = 93;
   */
  UPLOAD_HASH_MISMATCH = 93,

  /**
   * The upload resumes at an offset that is not the committed one (MED-07). [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_UPLOAD_OFFSET_MISMATCH = 94;
   */
  UPLOAD_OFFSET_MISMATCH = 94,

  /**
   * The blob is larger than the limit (MED-07). [INVALID_ARGUMENT; HTTP 502]
   *
   * @generated from enum value: ERROR_REASON_BLOB_TOO_LARGE = 95;
   */
  BLOB_TOO_LARGE = 95,

  /**
   * No blob has this path, or the partner's media server says so with status 404 or 410 (MED-04, MED-02). [NOT_FOUND]
   *
   * @generated from enum value: ERROR_REASON_BLOB_NOT_FOUND = 96;
   */
  BLOB_NOT_FOUND = 96,

  /**
   * The blob's retention has passed (MED-04). [NOT_FOUND; code 410; HTTP 410]
   *
   * @generated from enum value: ERROR_REASON_BLOB_EXPIRED = 97;
   */
  BLOB_EXPIRED = 97,

  /**
   * The requested range lies outside the blob (MED-04). [INVALID_ARGUMENT; HTTP 416]
   *
   * @generated from enum value: ERROR_REASON_RANGE_INVALID = 98;
   */
  RANGE_INVALID = 98,

  /**
   * A storage reference has forbidden characters or names another place (MED-03, T11). [INVALID_ARGUMENT]
   *
   * @generated from enum value: ERROR_REASON_STORAGE_REFERENCE_INVALID = 99;
   */
  STORAGE_REFERENCE_INVALID = 99,

  /**
   * The partner's media server failed in another way than with 404 or 410: an error, a redirect, silence, or an answer
   * that is cut short or of another range (MED-03). [UNAVAILABLE; HTTP 502]
   *
   * @generated from enum value: ERROR_REASON_PARTNER_MEDIA_UNAVAILABLE = 100;
   */
  PARTNER_MEDIA_UNAVAILABLE = 100,

  /**
   * The admin request names something that does not exist. [NOT_FOUND]
   *
   * @generated from enum value: ERROR_REASON_NOT_REGISTERED = 110;
   */
  NOT_REGISTERED = 110,

  /**
   * The admin request adds something that exists already. [ALREADY_EXISTS]
   *
   * @generated from enum value: ERROR_REASON_ALREADY_REGISTERED = 111;
   */
  ALREADY_REGISTERED = 111,

  /**
   * The server met an unexpected failure; its log has the details. [INTERNAL]
   *
   * @generated from enum value: ERROR_REASON_SERVER_FAULT = 120;
   */
  SERVER_FAULT = 120,

  /**
   * The server's database or its blobs cannot be reached, or not be written at present; whether the call was done may
   * be unknown (SIM-03). [UNAVAILABLE]
   *
   * @generated from enum value: ERROR_REASON_STORAGE_UNAVAILABLE = 121;
   */
  STORAGE_UNAVAILABLE = 121,

  /**
   * The server is one of several nodes of one world, and none of them does this to the others. [FAILED_PRECONDITION]
   *
   * @generated from enum value: ERROR_REASON_WORLD_SHARED = 122;
   */
  WORLD_SHARED = 122,
}

/**
 * Describes the enum interop_api.v1.ErrorReason.
 */
export const ErrorReasonSchema: GenEnum<ErrorReason> = /*@__PURE__*/
  enumDesc(file_interop_api_v1_errors, 0);

/**
 * What a client does after a refusal.
 *
 * @generated from enum interop_api.v1.Recovery
 */
export enum Recovery {
  /**
   * Never sent. A value that the client does not know means the same as NEVER.
   *
   * @generated from enum value: RECOVERY_UNSPECIFIED = 0;
   */
  UNSPECIFIED = 0,

  /**
   * The same request is refused again: change the request, or what it depends on, as `advice` says. A client does not
   * reopen a connection that ended for such a reason unless a person acts.
   *
   * @generated from enum value: RECOVERY_NEVER = 1;
   */
  NEVER = 1,

  /**
   * Send the same again: after `retry_after_ms`, or else with back-off.
   *
   * @generated from enum value: RECOVERY_SAME_AGAIN = 2;
   */
  SAME_AGAIN = 2,

  /**
   * Open a new connection: after `retry_after_ms`, or else with back-off. A call then needs the new session token.
   *
   * @generated from enum value: RECOVERY_RECONNECT = 3;
   */
  RECONNECT = 3,

  /**
   * Get a fresh token from the partner, then try again.
   *
   * @generated from enum value: RECOVERY_NEW_TOKEN = 4;
   */
  NEW_TOKEN = 4,

  /**
   * Enlist (again), then connect with the JID that this returns.
   *
   * @generated from enum value: RECOVERY_ENLIST = 5;
   */
  ENLIST = 5,

  /**
   * Make new keys and publish them (KEY-13).
   *
   * @generated from enum value: RECOVERY_NEW_KEYS = 6;
   */
  NEW_KEYS = 6,

  /**
   * Take the device list from the refusal, and bundles for devices that are new on it, then send again (MSG-05).
   *
   * @generated from enum value: RECOVERY_REFRESH_DEVICES = 7;
   */
  REFRESH_DEVICES = 7,

  /**
   * Request a challenge and answer it, or wait for `retry_after_ms` (ABU-06).
   *
   * @generated from enum value: RECOVERY_CHALLENGE = 8;
   */
  CHALLENGE = 8,
}

/**
 * Describes the enum interop_api.v1.Recovery.
 */
export const RecoverySchema: GenEnum<Recovery> = /*@__PURE__*/
  enumDesc(file_interop_api_v1_errors, 1);

