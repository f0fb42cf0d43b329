/* encode_libav.c - flac, mp3, opus, aac and m4a by libavcodec and libavformat, which are used for
 * writing only. Samples are collected until a frame of the codec is full; each packet goes through
 * the muxer and on into the sink at once. Whatever could differ from run to run (stream numbers,
 * library versions, dates) is left out, so the same samples give the same bytes. */
#include "runtime/audio/encode_parts.h"

#include "runtime/base/memory.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { IO_BYTES = 4096 };

/* Samples a second that a codec has, ascending, 0 behind the last. */
static const int32_t mp3_rates[] = {8000,  11025, 12000, 16000, 22050,
                                    24000, 32000, 44100, 48000, 0};
static const int32_t opus_rates[] = {8000, 12000, 16000, 24000, 48000, 0};
static const int32_t aac_rates[] = {8000,  11025, 12000, 16000, 22050, 24000, 32000,
                                    44100, 48000, 64000, 88200, 96000, 0};

static const struct row {
    enum mill_audio_format format;
    const char *codec, *muxer;
    enum AVSampleFormat samples;
    int32_t bit_rate;     /* 0 = has none */
    const int32_t *rates; /* NULL = all */
} rows[] = {
    {MILL_AUDIO_FLAC, "flac", "flac", AV_SAMPLE_FMT_S16, 0, NULL},
    {MILL_AUDIO_MP3, "libmp3lame", "mp3", AV_SAMPLE_FMT_FLTP, 64000, mp3_rates},
    {MILL_AUDIO_OPUS, "libopus", "opus", AV_SAMPLE_FMT_FLT, 32000, opus_rates},
    {MILL_AUDIO_AAC, "aac", "adts", AV_SAMPLE_FMT_FLTP, 64000, aac_rates},
    {MILL_AUDIO_M4A, "aac", "ipod", AV_SAMPLE_FMT_FLTP, 64000, aac_rates},
};

struct mill_libav_encoder {
    const struct row *row;
    AVCodecContext *codec;
    AVFormatContext *muxer;
    AVIOContext *io;
    AVFrame *frame;
    AVPacket *packet;
    int32_t frame_samples, n_collected; /* of `frame` */
    int64_t n_samples;                  /* in frames before it */
    uint64_t position;                  /* of the muxer's next byte */
};

static const struct row *find_row(enum mill_audio_format format) {
    const struct row *row = rows;
    while (row->format != format)
        row++;
    return row;
}

int32_t mill_libav_rate(enum mill_audio_format format, int32_t wanted) {
    const int32_t *rate = find_row(format)->rates;
    if (!rate)
        return wanted;
    while (*rate < wanted && rate[1])
        rate++;
    return *rate;
}

static mill_status fail_libav(struct mill_error *err, const struct row *row, int code) {
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    return mill_fail(err, code == AVERROR(ENOMEM) ? MILL_E_MEMORY : MILL_E_IO, "%s encoder: %s",
                     row->codec, text);
}

/* ------------------------------------------------------------------ bytes out */

#if LIBAVFORMAT_VERSION_MAJOR < 61
typedef uint8_t io_byte;
#else
typedef const uint8_t io_byte;
#endif

static int io_write(void *context, io_byte *data, int size) {
    struct mill_audio_encoder *e = context;
    if (mill_encode_put(e, e->libav->position, data, (size_t)size) < 0)
        return AVERROR(EIO);
    e->libav->position += (uint64_t)size;
    return size;
}

static int64_t io_seek(void *context, int64_t offset, int whence) {
    struct mill_audio_encoder *e = context;
    if (whence == AVSEEK_SIZE)
        return (int64_t)e->end;
    if (whence != SEEK_SET || offset < 0 || (uint64_t)offset > e->end)
        return AVERROR(EINVAL);
    e->libav->position = (uint64_t)offset;
    return offset;
}

/* ------------------------------------------------------------------ open, close */

static void be_quiet(void) {
    av_log_set_level(AV_LOG_QUIET);
}

static void set_mono(AVCodecContext *codec) {
#if LIBAVCODEC_VERSION_INT < AV_VERSION_INT(59, 24, 100)
    codec->channels = 1;
    codec->channel_layout = AV_CH_LAYOUT_MONO;
#else
    av_channel_layout_default(&codec->ch_layout, 1);
#endif
}

static int copy_layout(AVFrame *frame, const AVCodecContext *codec) {
#if LIBAVCODEC_VERSION_INT < AV_VERSION_INT(59, 24, 100)
    frame->channels = 1;
    frame->channel_layout = codec->channel_layout;
    return 0;
#else
    return av_channel_layout_copy(&frame->ch_layout, &codec->ch_layout);
#endif
}

/* A frame is a tenth of a second where the codec leaves that open. */
static int open_codec(struct mill_audio_encoder *e, const AVCodec *found) {
    struct mill_libav_encoder *l = e->libav;
    l->codec = avcodec_alloc_context3(found);
    if (!l->codec)
        return AVERROR(ENOMEM);
    l->codec->sample_fmt = l->row->samples;
    l->codec->sample_rate = e->rate;
    l->codec->bit_rate = l->row->bit_rate;
    l->codec->time_base = (AVRational){1, e->rate};
    l->codec->flags |= AV_CODEC_FLAG_BITEXACT;
    l->codec->thread_count = 1;
    if (l->row->bit_rate == 0)
        l->codec->frame_size = e->rate / 10 > 16 ? e->rate / 10 : 16;
    if (l->muxer->oformat->flags & AVFMT_GLOBALHEADER)
        l->codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    set_mono(l->codec);
    int code = avcodec_open2(l->codec, found, NULL);
    l->frame_samples = l->codec->frame_size;
    return code;
}

static int open_muxer(struct mill_audio_encoder *e) {
    struct mill_libav_encoder *l = e->libav;
    int code = avformat_alloc_output_context2(&l->muxer, NULL, l->row->muxer, NULL);
    if (code < 0)
        return code;
    uint8_t *buffer = av_malloc(IO_BYTES);
    if (buffer)
        l->io = avio_alloc_context(buffer, IO_BYTES, 1, e, NULL, io_write,
                                   e->sink.can_seek ? io_seek : NULL);
    if (!l->io) {
        av_free(buffer);
        return AVERROR(ENOMEM);
    }
    l->muxer->pb = l->io;
    l->muxer->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT | AVFMT_FLAG_FLUSH_PACKETS;
    return e->comment[0] ? av_dict_set(&l->muxer->metadata, "comment", e->comment, 0) : 0;
}

/* Pages of ogg would wait for a second; adts has a place for a comment only where it is asked for.
 */
static int write_header(struct mill_audio_encoder *e) {
    struct mill_libav_encoder *l = e->libav;
    AVStream *stream = avformat_new_stream(l->muxer, NULL);
    if (!stream)
        return AVERROR(ENOMEM);
    stream->time_base = l->codec->time_base;
    int code = avcodec_parameters_from_context(stream->codecpar, l->codec);
    if (code < 0)
        return code;
    if (e->format == MILL_AUDIO_OPUS)
        code = av_opt_set_int(l->muxer->priv_data, "page_duration", 100000, 0);
    if (e->format == MILL_AUDIO_AAC && e->comment[0])
        code = av_opt_set_int(l->muxer->priv_data, "write_id3v2", 1, 0);
    if (code < 0)
        return code;
    code = avformat_write_header(l->muxer, NULL);
    avio_flush(l->io);
    return code;
}

static int open_frame(struct mill_libav_encoder *l) {
    l->packet = av_packet_alloc();
    l->frame = av_frame_alloc();
    if (!l->packet || !l->frame)
        return AVERROR(ENOMEM);
    l->frame->format = l->codec->sample_fmt;
    l->frame->sample_rate = l->codec->sample_rate;
    l->frame->nb_samples = l->frame_samples;
    int code = copy_layout(l->frame, l->codec);
    return code < 0 ? code : av_frame_get_buffer(l->frame, 0);
}

mill_status mill_libav_start(struct mill_audio_encoder *e, struct mill_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, be_quiet);
    const struct row *row = find_row(e->format);
    const AVCodec *found = avcodec_find_encoder_by_name(row->codec);
    if (!found)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "this machine's libavcodec has no encoder %s: choose another format",
                         row->codec);
    struct mill_libav_encoder *l = e->libav = mill_alloc_array(1, sizeof *l);
    if (!l)
        return mill_fail(err, MILL_E_MEMORY, "audio encoder: no memory");
    l->row = row;
    int code = open_muxer(e);
    if (code >= 0)
        code = open_codec(e, found);
    if (code >= 0)
        code = open_frame(l);
    if (code >= 0)
        code = write_header(e);
    return code < 0 ? fail_libav(err, row, code) : MILL_OK;
}

void mill_libav_close(struct mill_libav_encoder *libav) {
    if (!libav)
        return;
    av_packet_free(&libav->packet);
    av_frame_free(&libav->frame);
    avcodec_free_context(&libav->codec);
    avformat_free_context(libav->muxer);
    if (libav->io)
        av_freep(&libav->io->buffer);
    avio_context_free(&libav->io);
    free(libav);
}

/* ------------------------------------------------------------------ samples */

/* The packets that the codec has ready into the muxer, and out. */
static int drain(struct mill_libav_encoder *l) {
    for (;;) {
        int code = avcodec_receive_packet(l->codec, l->packet);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
            return 0;
        if (code < 0)
            return code;
        av_packet_rescale_ts(l->packet, l->codec->time_base, l->muxer->streams[0]->time_base);
        code = av_write_frame(l->muxer, l->packet);
        av_packet_unref(l->packet);
        if (code < 0)
            return code;
    }
}

/* What was collected; the codec pads a last frame that is not full. */
static int send(struct mill_libav_encoder *l) {
    l->frame->nb_samples = l->n_collected;
    l->frame->pts = l->n_samples;
    l->n_samples += l->n_collected;
    l->n_collected = 0;
    int code = avcodec_send_frame(l->codec, l->frame);
    if (code >= 0)
        code = drain(l);
    l->frame->nb_samples = l->frame_samples;
    return code < 0 ? code : av_frame_make_writable(l->frame); /* the codec may have kept it */
}

static void collect(struct mill_libav_encoder *l, const float *samples, int32_t n) {
    if (l->row->samples == AV_SAMPLE_FMT_S16) {
        int16_t *to = (int16_t *)(void *)l->frame->data[0] + l->n_collected;
        for (int32_t i = 0; i < n; i++)
            to[i] = (int16_t)mill_encode_integer(samples[i], 16);
    } else {
        memcpy((float *)(void *)l->frame->data[0] + l->n_collected, samples,
               (size_t)n * sizeof *samples);
    }
    l->n_collected += n;
}

mill_status mill_libav_write(struct mill_audio_encoder *e, const float *samples, size_t n,
                             struct mill_error *err) {
    struct mill_libav_encoder *l = e->libav;
    while (n > 0) {
        size_t room = (size_t)(l->frame_samples - l->n_collected), take = n < room ? n : room;
        collect(l, samples, (int32_t)take);
        samples += take;
        n -= take;
        int code = l->n_collected == l->frame_samples ? send(l) : 0;
        if (code < 0)
            return fail_libav(err, l->row, code);
    }
    return MILL_OK;
}

mill_status mill_libav_finish(struct mill_audio_encoder *e, struct mill_error *err) {
    struct mill_libav_encoder *l = e->libav;
    int code = l->n_collected > 0 ? send(l) : 0;
    if (code >= 0)
        code = avcodec_send_frame(l->codec, NULL);
    if (code >= 0)
        code = drain(l);
    if (code >= 0)
        code = av_write_trailer(l->muxer);
    avio_flush(l->io);
    if (code >= 0)
        code = l->io->error;
    return code < 0 ? fail_libav(err, l->row, code) : MILL_OK;
}
